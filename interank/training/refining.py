"""Runs a policy's training from its first step to its last, with trials, records and the best adapter kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interank import distributed
from interank.settings import CollapseDetectionRecipe, TrialRecipe
from interank.training.checkpoints import resumed_from
from interank.training.failures import explained
from interank.training.grpo import run
from interank.training.policy import PolicyTrainer
from interank.training.recorder import Recorder
from interank.training.trials import PolicyTrial
from interank.training.validation import ValidationCallback, describe


@dataclass(frozen=True, slots=True)
class RefinementOutcome:
    """A training's closing figures, its notes for the manifest, and its counts."""

    figures: Mapping[str, float]
    notes: Mapping[str, Any]
    counts: Mapping[str, int] = field(default_factory=dict)


def see_through(
    trainer: PolicyTrainer,
    trial: PolicyTrial | None,
    validation: TrialRecipe,
    collapse_detection: CollapseDetectionRecipe,
    work: Path,
    shorter: Sequence[str] = (),
) -> RefinementOutcome:
    """Train to the end, from the last complete checkpoint in `work` if there is one.

    Args:
        trainer: The trainer.
        trial: Tries the policy at intervals, to keep the best adapter; without a trial the last adapter is kept.
        validation: The interval of trials and of recorded rollouts, and how far the calibration error of the best
            adapter may exceed the start's.
        collapse_detection: The limits at which the training stops.
        work: The folder of checkpoints, trials and rollouts.
        shorter: The recipe's keys that make a step smaller, named where memory is short.

    Raises:
        TrainingError: The training cannot begin or continue; the last good adapter is kept.
    """
    folder = work / "checkpoints"
    limits = collapse_detection if collapse_detection.enabled else None
    every, margin = validation.every, validation.calibration_margin
    callback = ValidationCallback(trial, work, every=every, limits=limits, margin=margin) if trial is not None else None
    checkpoint = resumed_from(folder)
    resumed_at = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    each_query = trainer.objective.documents * trainer.num_generations
    trainer.recorder = Recorder(work / "rollouts.jsonl", every, each_query, trainer.recorded)
    if distributed.first():
        trainer.recorder.rewind(resumed_at)
    with explained(folder, shorter):
        if callback is not None:
            callback.begin(trainer, resumed_at=resumed_at)
        figures = run(trainer, checkpoint)
    if callback is None:
        return RefinementOutcome(figures, {"validation": None})
    if not distributed.first():
        return RefinementOutcome(figures, {})
    callback.restore(trainer.accelerator.unwrap_model(trainer.model))
    return RefinementOutcome(figures, {"validation": describe(callback)})
