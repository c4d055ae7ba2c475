"""Without a known limit rollouts are held to the level of the first checks: a warning, a record, an end on a jump."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.errors import TrainingError
from interank.settings import (
    LoraRecipe,
    PromptSettings,
    RolloutsRecipe,
)
from interank.tasks.judge.rollouts import Rollouts, whole_queries
from interank.training.adapters import fresh_adapter
from interank.training.agreement import CHECKED, Agreement
from tests.support import rule
from tests.support.grpo_training import train

HALF = torch.bfloat16


def judged(differences: list[float], history: tuple[dict[str, float], ...] = (), **settings: Any) -> Agreement:
    agreement = Agreement(RolloutsRecipe.model_validate({"level_checks": 3, **settings}))
    for difference in differences:
        agreement.judge(difference, HALF, history)
    return agreement


def test_the_first_checks_warn_and_end_nothing(caplog: pytest.LogCaptureFixture) -> None:
    judged([0.2, 0.3, 0.04])
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    warned = caplog.records[0].getMessage()
    assert "differ from the trainer's by 0.2 on average (over 0.05 is much)" in warned
    assert warned.endswith("a jump over this level ends the training from check 4 on")


def test_a_jump_over_the_level_ends_the_run() -> None:
    judged([0.02, 0.5, 0.03, 0.11])
    with pytest.raises(TrainingError, match=r"0\.13 .*0\.03 .*0\.12"):
        judged([0.02, 0.5, 0.03, 0.13])


def test_below_the_floor_no_jump_counts() -> None:
    judged([1e-6, 1e-6, 1e-6, 0.049])
    with pytest.raises(TrainingError, match=r"0\.05"):
        judged([1e-6, 1e-6, 1e-6, 0.051])


def test_what_is_no_number_ends_the_run_at_once() -> None:
    with pytest.raises(TrainingError, match=" nan "):
        judged([math.nan])


def test_a_resumed_training_knows_the_level_from_its_log() -> None:
    log = tuple({"step": float(step), CHECKED: 0.02} for step in range(5))
    with pytest.raises(TrainingError, match=r"0\.02"):
        judged([0.3], log)


def test_a_tolerance_is_a_limit_from_the_first_check_on() -> None:
    with pytest.raises(TrainingError, match=r"0\.1 "):
        judged([0.2], tolerance=0.1)
    with pytest.raises(TrainingError, match=r"0\.001 "):
        Agreement(RolloutsRecipe()).judge(0.002, torch.float32, ())


@pytest.mark.parametrize("every", [1, 2])
def test_of_so_many_batches_one_is_due(every: int) -> None:
    agreement = Agreement(RolloutsRecipe(engine="vllm", check_every=every))
    assert due(agreement, 5) == [number % every == 0 for number in range(5)]
    assert due(Agreement(RolloutsRecipe()), 3) == [True, False, False]


def due(agreement: Agreement, batches: int) -> list[bool]:
    """Whether each batch is due when it is first trained on; it never is when it is trained on again."""
    found = []
    for _ in range(batches):
        agreement.sampled()
        found.append(agreement.due())
        assert not agreement.due()
    return found


class Stale(Rollouts):
    """Samples from other weights than those that are trained, from some step on."""

    begin = 0

    def __call__(self, prompts: list[str], trainer: Any) -> dict[str, Any]:
        adapter = [weight for weight in trainer.model.parameters() if weight.requires_grad]
        kept = [weight.detach().clone() for weight in adapter]
        for weight in adapter if trainer.state.global_step >= self.begin else ():
            weight.data.mul_(3)
        try:
            return super().__call__(prompts, trainer)
        finally:
            for weight, before in zip(adapter, kept, strict=True):
                weight.data.copy_(before)


def lengths(*, completion_ids: list[list[int]], **_: Any) -> list[float | None]:
    return [float(sum(ids) % 5) for ids in completion_ids]


@pytest.mark.parametrize("begin", [0, 3])
def test_in_bfloat16_a_jump_ends_a_training_and_a_high_level_does_not(
    tiny_folder: Path, tmp_path: Path, begin: int, caplog: pytest.LogCaptureFixture
) -> None:
    files = find_model(str(tiny_folder))
    model = fresh_adapter(load_model(files, precision="bfloat16"), LoraRecipe(rank=4, alpha=8), seed=0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    encoder = PromptEncoder(
        load_tokenizer(files), PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60)
    )
    examples = whole_queries(rule.examples(0, queries=6), documents=4, seed=1)
    # As if it were vLLM, whose every batch is checked.
    settings = RolloutsRecipe(engine="vllm", level_checks=2, level_floor=0.1)
    rollouts = Stale(encoder, examples, tokens=12, seed=3, settings=settings)
    rollouts.begin = begin
    given = {
        "max_steps": 5,
        "num_generations": 2,
        "per_device_train_batch_size": 8,
        "gradient_checkpointing": False,
        "learning_rate": 1e-4,
    }
    folder = tmp_path / "checkpoints"
    if begin:
        with pytest.raises(TrainingError, match=r"step 4: .* after step 3 "):
            train(model, rollouts, [lengths], trainer=given, folder=folder)
        assert not caplog.records
        return
    train(model, rollouts, [lengths], trainer=given, folder=folder)
    assert "(over 0.1 is much)" in caplog.text
    told = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(line[CHECKED] > 0.1 for line in told if "loss" in line)
