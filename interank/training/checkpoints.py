"""Checkpoints that survive `kill -9`, resuming from them, and a training's log and progress bar."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from interank import distributed
from interank.errors import TrainingError
from interank.ledger import Ledger
from interank.training.clock import seconds_of, shares

_COMPLETE = "complete"


def last_complete(folder: Path) -> Path | None:
    """The newest complete checkpoint; the first process removes incomplete ones."""
    complete = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / _COMPLETE).is_file():
            complete.append(checkpoint)
        elif distributed.first():
            shutil.rmtree(checkpoint)
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def resumed_from(folder: Path) -> Path | None:
    """The checkpoint from which all processes resume; None for a fresh training."""
    if distributed.first():
        folder.mkdir(exist_ok=True)
    return distributed.from_first(lambda: last_complete(folder))


def load_trained(trainer: Any, checkpoint: str) -> None:
    """Load a checkpoint's trained adapter where the model has others too (a reference's, a reward model's).

    transformers loads only the others then.
    """
    policy = trainer.accelerator.unwrap_model(trainer.model)
    if len(policy.peft_config) > 1:
        policy.load_adapter(checkpoint, "default", is_trainable=True)


def run_to_end(trainer: Any, checkpoint: Path | None) -> Mapping[str, float]:
    """Train to the end, from a complete checkpoint if there is one; the trainer's closing figures and number of steps.

    Where the checkpoint is of the last step within an epoch, or of the step at which the training was stopped,
    transformers would make one step more. Only the weights are loaded from such a checkpoint.
    """
    state = _ended(checkpoint) if checkpoint else None
    if checkpoint is None or state is None:
        outcome = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        return {**outcome.metrics, "steps": outcome.global_step}
    trainer.state = state
    if trainer.args.load_best_model_at_end and state.best_model_checkpoint:
        trainer._load_best_model()
    else:
        trainer._load_from_checkpoint(str(checkpoint))
    return {"steps": state.global_step}


def _ended(checkpoint: Path) -> TrainerState | None:
    """The state of a training that ended with this checkpoint; None where training continues."""
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    stopped = state.stateful_callbacks.get("TrainerControl", {}).get("args", {}).get("should_training_stop", False)
    return state if stopped or state.global_step >= state.max_steps else None


def keep(trainer: Any) -> int:
    """Write a checkpoint of the steps so far, unless there is one or a weight is no finite number.

    Returns:
        The step of the last complete checkpoint, 0 where there is none.
    """
    step, folder = trainer.state.global_step, Path(str(trainer.args.output_dir))
    sound = all(bool(weight.isfinite().all()) for weight in trainer.model.parameters() if weight.requires_grad)
    # Other processes may have ended for the same reason, so none is waited for.
    if distributed.first() and step and sound and not (folder / f"checkpoint-{step}" / _COMPLETE).is_file():
        trainer._save_checkpoint(trainer.model, trial=None)
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, CheckpointCallback):
                callback.mark(folder, trainer.state)
    checkpoint = last_complete(folder)
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


class CheckpointCallback(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Marks a checkpoint complete once it is on disk, deletes older ones but the best, logs, and stops on NaN."""

    def __init__(self, log_file: Path) -> None:
        self.log_file = log_file

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Remove an incomplete row that a kill left at the log's end."""
        if distributed.first():
            Ledger(self.log_file).rows()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Mark the checkpoint complete, now that the trainer has written all of its files.

        Raises:
            TrainingError: A weight is no finite number; the checkpoint before stays the last complete one.
        """
        folder = Path(str(args.output_dir))
        if not all(bool(weight.isfinite().all()) for weight in _trained(others.get("model"))):
            raise TrainingError(
                f"step {state.global_step}: the adapter's weights are no longer numbers; the complete checkpoint "
                "before it is kept. Lower trainer.learning_rate or trainer.max_grad_norm and start again"
            )
        # Each process has written its random state by now.
        distributed.barrier()
        if distributed.first():
            self.mark(folder, state)
        distributed.barrier()

    def mark(self, folder: Path, state: TrainerState) -> None:
        """Mark the newest checkpoint complete, and delete the others but the best."""
        newest = folder / f"checkpoint-{state.global_step}"
        (newest / _COMPLETE).touch()
        best = Path(state.best_model_checkpoint) if state.best_model_checkpoint else newest
        for other in folder.glob("checkpoint-*"):
            if other not in (newest, best):
                shutil.rmtree(other)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Append the trainer's figures to the log; a loss that is not a number ends the training."""
        logs = logs or {}
        if distributed.first():
            Ledger(self.log_file).append([{"step": state.global_step, **logs}])
        for name in ("loss", "grad_norm"):
            if name in logs and not math.isfinite(logs[name]):
                raise TrainingError(
                    f"step {state.global_step}: {name} is {logs[name]}; the last complete checkpoint is kept. "
                    "Lower trainer.learning_rate or trainer.max_grad_norm and start again"
                )


def _trained(model: Any | None) -> list[torch.Tensor]:
    return [weight for weight in model.parameters() if weight.requires_grad] if model is not None else []


class Bar(ProgressCallback):  # type: ignore[misc]  # transformers is untyped here
    """The trainer's progress bar with the main figures, without printing to standard output."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Show the newest figures on the bar."""
        if self.training_bar is not None:
            logs = logs or {}
            seconds = seconds_of(logs)
            shown: dict[str, str] = {name: f"{logs[name]:.3g}" for name in ("loss", "reward") if name in logs}
            shown |= {"s/step": f"{sum(seconds.values()):.3g}"} if seconds else {}
            # The name "reward" is taken by its mean.
            names = {"reward": "reward share"}
            shown |= {names.get(part, part): f"{share:.0%}" for part, share in shares(seconds).items()}
            self.training_bar.set_postfix(shown)


def accompany(trainer: Any, log_file: Path, *, bar: bool) -> None:
    """Replace a trainer's printing callbacks with ours."""
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(CheckpointCallback(log_file))
    if bar and distributed.first():
        trainer.add_callback(Bar())
