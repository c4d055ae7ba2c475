"""Validates a policy during training: tries it at intervals, keeps the best adapter, stops at a sign of collapse."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from interank import distributed
from interank.errors import TrainingError
from interank.ir.measures import DEFAULT_MEASURE
from interank.ledger import Ledger
from interank.settings import CollapseDetectionRecipe
from interank.training.checkpoints import last_complete
from interank.training.collapse import CALIBRATION, ENTROPY, GOLD, REWARD, sign_of_collapse
from interank.training.trials import PolicyTrial

log = logging.getLogger(__name__)

PREFIX = "validation/"
_WEIGHTS = "adapter-{step}.safetensors"


class ValidationCallback(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Runs the trials, keeps the best adapter and stops the training; a resumed training reads `trials.jsonl`.

    The policy's answers at each trial are in `answers.jsonl`.
    """

    def __init__(
        self, trial: PolicyTrial, folder: Path, *, every: int, limits: CollapseDetectionRecipe | None, margin: float
    ) -> None:
        """Take the trial, the folder for the best adapter's weights, the interval in steps and the limits of collapse.

        Without limits the training is not stopped. `margin` is how much higher than the start's the best adapter's
        calibration error may be.
        """
        self.trial = trial
        self.folder = folder
        self.every = every
        self.limits = limits
        self.margin = margin
        # Needed without limits too: it decides which adapter is best, not when to stop.
        self.gold_drop = (limits or CollapseDetectionRecipe()).gold_drop
        self.sign: str | None = None
        self._metrics: dict[str, list[float]] = {}
        self._ledger = Ledger(folder / "trials.jsonl")
        self._answers = Ledger(folder / "answers.jsonl")

    def begin(self, trainer: Any, *, resumed_at: int) -> None:
        """Read the trials up to the checkpoint of a resumed training, else try the start; then join the trainer."""
        if distributed.first():
            self.folder.mkdir(exist_ok=True)
        self._metrics = trainer.step_figures
        known = distributed.from_first(lambda: self._known(resumed_at))
        if known:
            self.trial.start = [(low, some, high) for low, some, high in known[0]["start"]]
        else:
            figures = self.trial(trainer.accelerator.unwrap_model(trainer.model))
            if distributed.first():
                self._take(0, {**figures, "start": self.trial.start})
                self._keep(trainer.model, 0)
        trainer.add_callback(self)

    def _known(self, resumed_at: int) -> list[dict[str, Any]]:
        """The trials up to a step; later ones are deleted."""
        known = [row for row in self._ledger.rows() if row["step"] <= resumed_at]
        self._ledger.replace(known)
        tried = {row["step"] for row in known}
        if answers := self._answers.rows():
            self._answers.replace([row for row in answers if row["step"] in tried])
        self.sign = sign_of_collapse(self.trials, self.limits) if known and self.limits else None
        return known

    @property
    def trials(self) -> list[dict[str, Any]]:
        """The figures of every trial, with their steps."""
        return [{name: value for name, value in row.items() if name != "start"} for row in self._ledger.rows()]

    @property
    def best(self) -> dict[str, Any]:
        """The trial whose adapter is kept."""
        return best_of(self.trials, self.margin, self.gold_drop)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """Try the adapter where a trial is due; the figures go into the step's line of the log."""
        if state.global_step % self.every == 0 or state.global_step >= state.max_steps:
            for name, value in distributed.same(self.trial(model)).items():
                self._metrics.setdefault(PREFIX + name, []).append(value)
            control.should_log = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        model: Any = None,
        **_: Any,
    ) -> None:
        """On a trial's line, keep the adapter if it is the best, and stop the training at a sign of collapse."""
        logs = logs or {}
        if PREFIX + DEFAULT_MEASURE not in logs:
            return
        figures = {name.removeprefix(PREFIX): value for name, value in logs.items() if name.startswith(PREFIX)}
        figures |= {name: logs[name] for name in (REWARD, ENTROPY) if logs.get(name) is not None}
        # The first process decides for all.
        self.sign = distributed.from_first(lambda: self._judged(state, model, figures))
        control.should_training_stop = control.should_training_stop or bool(self.sign)

    def _judged(self, state: TrainerState, model: Any, figures: Mapping[str, float]) -> str | None:
        """Record a trial; the sign of collapse that it shows, or None."""
        self._take(state.global_step, figures)
        if self.best["step"] == state.global_step:
            self._keep(model, state.global_step)
        sign = sign_of_collapse(self.trials, self.limits) if self.limits else None
        if sign:
            log.warning(
                "stopped at step %d, %s; the adapter of step %d is kept",
                state.global_step,
                sign,
                self.best["step"],
            )
        return sign

    def _take(self, step: int, row: Mapping[str, Any]) -> None:
        """Record a trial, its answers first: after a kill, answers without their trial are dropped."""
        if self.trial.answers:
            self._answers.append({"step": step, **answer} for answer in self.trial.answers)
        self._ledger.append([{"step": step, **row}])

    def _keep(self, model: Any, step: int) -> None:
        """Write the adapter's weights atomically, and delete weights that are no longer needed.

        Those of the best trial up to the last checkpoint stay, since the training may resume from there.
        """
        partial = self.folder / ".adapter"
        save_file(_adapter(model), partial)
        partial.replace(self._weights(step))
        checkpoint = last_complete(self.folder / "checkpoints")
        at = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
        before = [row for row in self.trials if row["step"] <= at]
        needed = {self._weights(step), self._weights(best_of(before, self.margin, self.gold_drop)["step"])}
        for path in self.folder.glob(_WEIGHTS.format(step="*")):
            if path not in needed:
                path.unlink()

    def restore(self, model: Any) -> None:
        """Load the best adapter into the model.

        Raises:
            TrainingError: The file of its weights is missing.
        """
        path = self._weights(self.best["step"])
        if not path.is_file():
            raise TrainingError(f"{path}, the best adapter's weights, is missing; train anew with --overwrite")
        best = load_file(path)
        with torch.no_grad():
            for name, weight in _adapter(model).items():
                weight.copy_(best[name].to(weight))

    def _weights(self, step: int) -> Path:
        return self.folder / _WEIGHTS.format(step=step)


def best_of(trials: Sequence[dict[str, Any]], margin: float, gold_drop: float = 1.0) -> dict[str, Any]:
    """The trial with the highest nDCG@10 of those calibrated about as well as the start; of equal ones the latest.

    Args:
        trials: All trials, the start's first.
        margin: How much higher than the start's a calibration error may be; trials of lists have none.
        gold_drop: How far the last gold mark may be below the best before it; trials before any mark are exempt.
    """
    limit = calibration_limit(trials, margin)
    eligible, best = [], 0.0
    last: float | None = None
    for row in trials:
        last = row.get(GOLD, last)
        best = max(best, last or 0.0)
        calibrated = limit is None or row[CALIBRATION] <= limit
        if calibrated and (last is None or last >= best - gold_drop):
            eligible.append(row)
    return max(eligible, key=lambda row: (row[DEFAULT_MEASURE], row["step"]))


def calibration_limit(trials: Sequence[dict[str, Any]], margin: float) -> float | None:
    """The highest calibration error with which an adapter may be the best."""
    start = trials[0].get(CALIBRATION)
    return None if start is None else start + margin


def _adapter(model: Any) -> dict[str, torch.Tensor]:
    """The trained weights by name, whatever wraps the model."""
    return {
        name.removeprefix("module."): weight.detach()
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }


def describe(callback: ValidationCallback) -> dict[str, Any]:
    """The notes for the manifest: the start's, the best and the last trial, and the sign that stopped the training."""
    trials = callback.trials
    return {
        "start": trials[0],
        "best": callback.best,
        "last": trials[-1],
        "stopped": callback.sign,
        "questions": dict(callback.trial.questions),
        "calibration_limit": calibration_limit(trials, callback.margin),
    }
