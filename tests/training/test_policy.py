"""A training's seconds are told by part, and rollouts that come from other weights end it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tqdm import tqdm
from transformers import TrainerControl, TrainerState, TrainingArguments

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.errors import ModelError, TrainingError
from interank.settings import LoraRecipe, PromptSettings
from interank.tasks.judge.rollouts import Rollouts, whole_queries
from interank.training.adapters import fresh_adapter
from interank.training.checkpoints import Bar, last_complete
from interank.training.clock import PARTS, Clock, seconds_of, summary
from tests.support import rule
from tests.support.grpo_training import train

TRAINER: dict[str, Any] = {
    "max_steps": 2,
    "num_generations": 2,
    "per_device_train_batch_size": 8,
    "gradient_checkpointing": False,
    "temperature": 0.8,
}


def lengths(*, completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float | None]:
    return [float(sum(ids) % 5) for ids in completion_ids]


def policy(tiny_folder: Path, kind: type[Rollouts] = Rollouts) -> tuple[Any, Rollouts]:
    """An adapted model that no longer says what its base says, and its rollouts."""
    files = find_model(str(tiny_folder))
    model = fresh_adapter(load_model(files), LoraRecipe(rank=4, alpha=8, dropout=0.2), seed=0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    encoder = PromptEncoder(
        load_tokenizer(files), PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60)
    )
    examples = whole_queries(rule.examples(0, queries=4), documents=4, seed=1)
    return model, kind(encoder, examples, tokens=12, seed=3)


@pytest.mark.parametrize("shared", [True, False])
def test_seconds_and_shares_are_logged_and_summed_up(tiny_folder: Path, tmp_path: Path, shared: bool) -> None:
    model, rollouts = policy(tiny_folder)
    figures = train(model, rollouts, [lengths], trainer=TRAINER, folder=tmp_path / "checkpoints", shared_prefix=shared)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [[line[f"seconds/{part}"] for part in PARTS] for line in lines if "loss" in line]
    assert len(steps) == 2
    # The trained weights sample themselves, so that nothing is handed over.
    assert all((second > 0) == (part != "sync") for step in steps for part, second in zip(PARTS, step, strict=True))
    assert figures["seconds_per_step"] == pytest.approx(sum(map(sum, steps)) / 2, abs=2e-3)
    assert sum(figures[f"{part}_share"] for part in PARTS) == pytest.approx(1, abs=2e-3)
    # The tiny reward function is next to nothing, generating and training are not.
    assert figures["reward_share"] < 0.2 < figures["rollout_share"] + figures["update_share"]
    assert 0 <= lines[0]["skipped_completions"] <= 1


def test_the_summary_goes_over_all_lines_of_the_log() -> None:
    def line(rollout: float, reward: float, update: float, sync: float = 0.0) -> dict[str, float]:
        return {f"seconds/{name}": value for name, value in zip(PARTS, (rollout, reward, update, sync), strict=True)}

    assert summary([line(2, 0, 2), {"train_runtime": 3.0}, line(4, 1, 1, 2)]) == {
        "seconds_per_step": 6.0,
        "rollout_share": 0.5,
        "reward_share": 0.083,
        "update_share": 0.25,
        "sync_share": 0.167,
    }
    assert summary([{"loss": 1.0}]) == {}


def test_a_part_within_another_counts_as_its_own() -> None:
    clock = Clock({f"seconds/{part}": [] for part in PARTS})
    clock.on_step_begin(TrainingArguments(use_cpu=True), TrainerState(), TrainerControl())
    began = time.perf_counter()
    with clock.part("rollout"):
        time.sleep(0.02)
        with clock.part("sync"):
            time.sleep(0.05)
    whole = time.perf_counter() - began
    clock.on_step_end(TrainingArguments(use_cpu=True), TrainerState(), TrainerControl())
    spent = seconds_of({name: values[0] for name, values in clock.metrics.items()})
    assert spent["sync"] >= 0.05
    assert spent["rollout"] >= 0.02
    assert spent["rollout"] + spent["sync"] <= whole


def test_the_bar_shows_seconds_and_shares(tmp_path: Path) -> None:
    bar = Bar()
    bar.training_bar = tqdm(disable=False, file=(tmp_path / "bar").open("w"), total=3)
    logs = {"loss": 0.12345, "reward": 1.5, "seconds/rollout": 3.0, "seconds/reward": 0.1, "seconds/update": 0.9}
    bar.on_log(TrainingArguments(use_cpu=True), TrainerState(), TrainerControl(), logs)
    assert bar.training_bar.postfix == "loss=0.123, reward=1.5, s/step=4, rollout=75%, reward share=2%, update=22%"
    bar.on_log(TrainingArguments(use_cpu=True), TrainerState(), TrainerControl(), {"loss": 0.5})
    assert bar.training_bar.postfix == "loss=0.5"
    bar.training_bar.close()
    bar.training_bar.fp.close()


def test_a_reward_that_fails_costs_no_step(tmp_path: Path, tiny_folder: Path) -> None:
    """What was trained until then is kept, and a resumed training ends with the very weights of an unbroken one."""
    settings = {**TRAINER, "max_steps": 4, "save_steps": 100}
    calls: list[int] = []

    def failing(**columns: Any) -> list[float | None]:
        calls.append(1)
        if len(calls) == 3:
            raise ModelError("the judge does not answer")
        return lengths(**columns)

    def trained(folder: Path, reward: Callable[..., list[float | None]]) -> list[torch.Tensor]:
        model, rollouts = policy(tiny_folder)
        train(model, rollouts, [reward], trainer=settings, folder=tmp_path / folder / "checkpoints")
        return [weight.detach() for weight in model.parameters() if weight.requires_grad]

    (tmp_path / "broken").mkdir()
    (tmp_path / "whole").mkdir()
    with pytest.raises(ModelError, match=r"step 3: the judge does not answer.* step 2 "):
        trained(Path("broken"), failing)
    kept = last_complete(tmp_path / "broken" / "checkpoints")
    assert kept is not None
    assert kept.name == "checkpoint-2"
    resumed, whole = trained(Path("broken"), failing), trained(Path("whole"), lengths)
    assert len(calls) == 5
    assert all(torch.equal(one, other) for one, other in zip(resumed, whole, strict=True))


class Stale(Rollouts):
    """Samples from an adapter that is not the one that is trained."""

    def __call__(self, prompts: list[str], trainer: Any) -> dict[str, Any]:
        adapter = [weight for weight in trainer.model.parameters() if weight.requires_grad]
        kept = [weight.detach().clone() for weight in adapter]
        for weight in adapter:
            weight.data.mul_(0.9)
        try:
            return super().__call__(prompts, trainer)
        finally:
            for weight, before in zip(adapter, kept, strict=True):
                weight.data.copy_(before)


class Warmer(Rollouts):
    """Samples at another temperature than the trainer's."""

    def __call__(self, prompts: list[str], trainer: Any) -> dict[str, Any]:
        trainer.args.temperature, kept = 1.0, trainer.args.temperature
        try:
            return super().__call__(prompts, trainer)
        finally:
            trainer.args.temperature = kept


@pytest.mark.parametrize("kind", [Stale, Warmer])
@pytest.mark.parametrize("shared", [True, False])
def test_rollouts_of_another_policy_end_the_training(
    tiny_folder: Path, tmp_path: Path, kind: type[Rollouts], shared: bool
) -> None:
    model, rollouts = policy(tiny_folder, kind)
    before = [weight.detach().clone() for weight in model.parameters() if weight.requires_grad]
    with pytest.raises(TrainingError, match=r"log-probabilities .*0\.001 "):
        train(model, rollouts, [lengths], trainer=TRAINER, folder=tmp_path / "checkpoints", shared_prefix=shared)
    after = [weight for weight in model.parameters() if weight.requires_grad]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
