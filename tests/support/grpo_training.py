"""GRPO on rewards alone, without what a recipe adds, and what rollouts ask of a trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from peft import PeftModel

from interank.rewards import WeightedReward
from interank.tasks.judge.rollouts import Rollouts
from interank.tasks.list_rollouts import ListRollouts
from interank.training.checkpoints import last_complete
from interank.training.grpo import prepare, run
from interank.training.objective import Objective


def train(
    model: PeftModel,
    rollouts: Rollouts | ListRollouts,
    rewards: Sequence[Callable[..., list[float | None]]],
    *,
    trainer: Mapping[str, Any],
    folder: Path,
    shared_prefix: bool = True,
) -> Mapping[str, float]:
    """Train on rewards alone, from the last complete checkpoint in `folder` if there is one; see `run`."""
    objective = Objective(list(map(WeightedReward, rewards)))
    grpo = prepare(model, rollouts, objective, trainer=trainer, folder=folder, shared_prefix=shared_prefix)
    return run(grpo, last_complete(folder))


def trainer_at(model: Any, step: int = 0) -> Any:
    """What rollouts ask of a trainer at a step: its model, how it samples, and where it is."""
    return SimpleNamespace(
        model=model,
        accelerator=SimpleNamespace(unwrap_model=lambda wrapped: wrapped),
        args=SimpleNamespace(temperature=1.0),
        state=SimpleNamespace(global_step=step),
    )
