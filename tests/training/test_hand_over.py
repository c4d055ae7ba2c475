"""An engine beside the training is handed the adapter when it has moved, and only then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from interank.engines.adapters import with_adapter
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Completion, LabelLogits, Sampling
from interank.engines.transformers import TransformersEngine
from interank.engines.vllm import VllmOptions
from interank.errors import TrainingError
from interank.rewards import WeightedReward
from interank.settings import (
    LoraRecipe,
    PromptSettings,
    RolloutsRecipe,
)
from interank.stages import rl
from interank.tasks.judge.recipe import RlJudge
from interank.tasks.judge.rollouts import Rollouts, whole_queries
from interank.training import samplers
from interank.training.adapters import fresh_adapter
from interank.training.grpo import prepare, run
from interank.training.objective import Objective
from interank.training.samplers import HandedOver
from tests.support import rule
from tests.support.artifacts import judgments_artifact

TRAINER: dict[str, Any] = {
    "max_steps": 3,
    "num_generations": 2,
    "per_device_train_batch_size": 8,
    "gradient_checkpointing": False,
    "learning_rate": 1e-2,
}


class Beside(TransformersEngine):
    """A second model with the base weights, which reads adapters from the disk as vLLM does."""

    def __init__(self, base: Path) -> None:
        self.base, self.handed = base, []  # type: ignore[var-annotated]
        super().__init__(load_model(find_model(str(base))))

    def take_adapter(self, folder: Path) -> None:
        assert [path.name for path in folder.parent.iterdir()] == [folder.name], "old adapters are left on disk"
        self.handed.append((folder / "adapter_model.safetensors").read_bytes())
        super().__init__(with_adapter(load_model(find_model(str(self.base))), folder))


def trained(base: Path, folder: Path, *, refills: int = 0, **given: Any) -> tuple[Beside, list[dict[str, float]]]:
    files = find_model(str(base))
    model = fresh_adapter(load_model(files), LoraRecipe(rank=4, alpha=8), seed=0)
    encoder = PromptEncoder(
        load_tokenizer(files), PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60)
    )
    engine = Beside(base)
    sampler = HandedOver(engine, folder / "adapters")
    examples = whole_queries(rule.examples(0, queries=8), documents=4, seed=1)
    # As if it were vLLM, so that every batch is held to the trainer's weights.
    settings = RolloutsRecipe(engine="vllm")
    rollouts = Rollouts(encoder, examples, tokens=12, seed=3, sampler=sampler, settings=settings)

    def reward(*, completion_ids: list[list[int]], **_: Any) -> list[float | None]:
        rollouts.regrade([("Where?", "A fox.")])
        return [0.0 if refills else float(sum(ids) % 5) for ids in completion_ids]

    objective = Objective(
        [WeightedReward(reward)], documents=4, refills=refills, reserve=rollouts.columns() if refills else ()
    )
    grpo = prepare(model, rollouts, objective, trainer={**TRAINER, **given}, folder=folder / "checkpoints")
    with sampler.engine_of(model) as before:
        before.label_logits(rollouts.prompts[:1], encoder.label_ids)
    run(grpo, None)
    return engine, [line for line in grpo.state.log_history if "loss" in line]


def test_every_adapter_that_moved_is_handed_over_once_and_samples(tiny_folder: Path, tmp_path: Path) -> None:
    engine, log = trained(tiny_folder, tmp_path, gradient_accumulation_steps=2)
    # The last step's is asked for by nobody.
    assert len(engine.handed) == len(set(engine.handed)) == 3
    assert all(line["sampling/checked"] < 1e-5 for line in log)


@pytest.mark.parametrize("still", [{"learning_rate": 0.0}, {"refills": 2}], ids=str)
def test_an_adapter_that_has_not_moved_is_not(tiny_folder: Path, tmp_path: Path, still: dict[str, Any]) -> None:
    """Neither is it after steps that change nothing, nor for refills and regrades within a step."""
    engine, log = trained(tiny_folder, tmp_path, **still)
    assert len(log) == 3
    assert len(engine.handed) == 1


def test_prompts_that_may_get_so_long_that_all_positions_are_read_otherwise_are_refused(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = load_model

    def changing(files: Any) -> Any:
        model = really(files)
        model.config.rope_parameters = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
        model.config.max_position_embeddings = 40
        return model

    monkeypatch.setitem(trained.__globals__, "load_model", changing)
    with pytest.raises(TrainingError, match=r"beyond 40 .*dynamic.*max_document_tokens"):
        trained(tiny_folder, tmp_path)


def test_a_change_of_one_bit_is_a_move(tiny_folder: Path, tmp_path: Path) -> None:
    model = fresh_adapter(load_model(find_model(str(tiny_folder))), LoraRecipe(rank=4, alpha=8), seed=0)
    engine = Beside(tiny_folder)
    sampler = HandedOver(engine, tmp_path)
    weight = next(weight for name, weight in model.named_parameters() if "lora_A" in name)
    for _ in range(3):
        with sampler.engine_of(model):
            pass
        with torch.no_grad():
            # By `.data`, which no version counter of torch's notices.
            weight.data[0, 0] = torch.nextafter(weight.data[0, 0], torch.tensor(torch.inf))
    assert len(set(engine.handed)) == len(engine.handed) == 3


class Stood(Beside):
    """Stands where vLLM would, and counts what it is asked."""

    opened: ClassVar[list[Stood]] = []

    def __init__(self, base: Path, options: VllmOptions) -> None:
        super().__init__(base)
        self.generated: list[int] = []
        self.labelled: list[int] = []
        self.closed = False
        self.opened.append(self)

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        self.generated.append(len(prompts))
        return super().generate(prompts, sampling, end=end)

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        self.labelled.append(len(prompts))
        return super().label_logits(prompts, labels)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("algorithm", ["grpo", "reward_weighted"])
def test_whatever_is_sampled_comes_from_the_recipes_engine(
    tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    monkeypatch.setattr(samplers, "VllmEngine", Stood)
    monkeypatch.setattr(Stood, "opened", [])
    given: dict[str, Any] = {
        "grpo": {
            "hard_examples": {"least": 0.0, "most": 1.0, "questions": 6},
            "validation": {"questions": 0},
            "trainer": {**TRAINER, "max_steps": 1},
        },
        "reward_weighted": {
            "algorithm": "reward_weighted",
            "reward_weighted": {"samples": 2},
            "trainer": {"max_steps": 1, "per_device_train_batch_size": 4, "gradient_checkpointing": False},
        },
    }[algorithm]
    recipe = {
        "stage": "rl",
        "judgments": judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=8, documents=4)),
        "adapter": tiny_adapter,
        "max_completion_tokens": 14,
        "rewards": [{"use": "well_formed"}],
        "rollouts": {"engine": "vllm"},
        **given,
    }
    rl.run(RlJudge.model_validate(recipe), tmp_path / "out")
    [engine] = Stood.opened
    assert engine.closed
    # The adapter that the training starts from, once for the pairs that are rated and for the first step.
    assert len(engine.handed) == 1
    if algorithm == "grpo":
        assert engine.labelled[0] == 6 * 4
        assert set(engine.generated) == {8}
    else:
        assert engine.generated == [32 * 2]
