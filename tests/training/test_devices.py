"""Where several GPUs are visible every training takes one: transformers' DataParallel does not come in."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from interank.stages import distill, rl
from interank.tasks.head.recipe import DistillHead
from interank.tasks.judge.recipe import DistillJudge, RlJudge
from tests.support import rule
from tests.support.artifacts import judgments_artifact

TRAINER = {"max_steps": 1, "per_device_train_batch_size": 4, "save_strategy": "no", "gradient_checkpointing": False}
GRPO = {**TRAINER, "num_generations": 2, "per_device_train_batch_size": 8}


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers finds two, as far as it says."""
    begun = TrainingArguments.__post_init__

    def found_two(arguments: TrainingArguments) -> None:
        begun(arguments)
        assert arguments.device.type == "cpu"
        arguments._n_gpu = 2

    class Spread(torch.nn.DataParallel):  # type: ignore[type-arg]
        def __init__(self, *_: Any, **__: Any) -> None:
            pytest.fail("the model was spread over several devices")

    monkeypatch.setattr(TrainingArguments, "__post_init__", found_two)
    monkeypatch.setattr(torch.nn, "DataParallel", Spread)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    "given",
    [
        {"trainer": TRAINER},
        {
            "task": "head",
            "objective": "listnet",
            "documents": 4,
            "encoding": {"max_length": 64},
            "trainer": TRAINER,
        },
        {"rewards": [{"use": "well_formed"}], "trainer": GRPO},
        {
            "rewards": [{"use": "well_formed"}],
            "algorithm": "reward_weighted",
            "reward_weighted": {"samples": 1},
            "trainer": TRAINER,
        },
    ],
    ids=["distill", "head", "grpo", "reward_weighted"],
)
def test_of_two_gpus_a_training_takes_one(
    tiny_folder: Path,
    tiny_adapter: Path,
    tmp_path: Path,
    given: Mapping[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=3, documents=4))
    tried = {} if "algorithm" in given else {"validation": {"questions": 0}}
    content = {"judgments": judgments, **tried, **given}
    out = tmp_path / "out"
    with caplog.at_level(logging.INFO, "interank"):
        if "rewards" in given:
            more = {"stage": "rl", "adapter": tiny_adapter, "max_completion_tokens": 14}
            rl.run(RlJudge.model_validate({**content, **more}), out)
        else:
            more = {"stage": "distill", "student": str(tiny_folder), "lora": {"rank": 4, "alpha": 8}}
            kind = DistillHead if "task" in given else DistillJudge
            distill.run(kind.model_validate({**content, **more}), out)
    assert "found 2 GPUs; the training uses one, cpu; set CUDA_VISIBLE_DEVICES to choose another" in caplog.text
    assert json.loads((out / "manifest.json").read_text())["counts"]["steps"] == 1
