"""Supervised fine-tuning of an adapter on judgments, by TRL's SFTTrainer on groups of rows that share prefixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import (
    EarlyStoppingCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl import SFTConfig

from interank.engines.layers import refuse_read_otherwise
from interank.engines.prompts import PromptEncoder
from interank.engines.tree.prefix_tree import sequences_size
from interank.ir.measures import DEFAULT_MEASURE
from interank.progress import shown
from interank.settings.batches import DISTILL_BATCH
from interank.settings.student import LossRecipe, ValidationRecipe
from interank.training.checkpoints import accompany, resumed_from, run_to_end
from interank.training.devices import configured, on_one_device, owned, shared_out
from interank.training.failures import explained
from interank.training.memory import Microbatch
from interank.training.rows import Group
from interank.training.student import StudentTrainer
from interank.training.trials import Trial

# The trainer's fields that a recipe leaves out. Learning rates for LoRA are about ten times those of full training;
# the schedule's shape and clipping are those of the QLoRA paper (arXiv 2305.14314, appendix B).
DEFAULTS: dict[str, Any] = {
    "learning_rate": 2.0e-4,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.05,
    "num_train_epochs": 1,
    # In questions with their documents, about five each.
    "per_device_train_batch_size": DISTILL_BATCH,
    "gradient_accumulation_steps": 2,
    "max_grad_norm": 0.3,
    "logging_steps": 10,
    "report_to": "none",
}
# Steps between two checkpoints, and between two trials.
_SAVE_STEPS = 100


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """The outcome of a training: the trainer's closing figures and its log."""

    figures: Mapping[str, float]
    history: Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class SftSettings:
    """The settings of a supervised training."""

    trainer: Mapping[str, Any]
    """Fields of the trainer's configuration."""
    seed: int
    validation: ValidationRecipe = field(default_factory=lambda: ValidationRecipe(questions=0))
    """The interval of trials, and the patience of early stopping."""
    loss: LossRecipe = field(default_factory=LossRecipe)
    """The weights of the loss's parts; heads have their own loss."""
    shared_prefix: bool = True
    """Whether the prefixes that a group's rows share are computed once."""
    shorter: tuple[str, ...] = ()
    """The recipe's keys that make a step smaller, named where memory is short."""


def train(
    model: PeftModel,
    encoder: PromptEncoder,
    groups: Sequence[Group],
    settings: SftSettings,
    *,
    folder: Path,
    checkpointing: bool,
    trial: Trial | None = None,
) -> TrainingOutcome:
    """Train the model's adapter in place, from the last complete checkpoint in `folder` if there is one.

    With a trial the best tried adapter is kept, else the last.

    Raises:
        TrainingError: A row is too long for the model, the loss is not a number, or disk or memory do not suffice; the
            last checkpoint is kept.
    """
    refuse_read_otherwise(model.config, max(len(row.input_ids) for group in groups for row in group))
    checkpoint, fields = checkpoint_and_fields(folder, settings, DEFAULTS, tried=trial is not None)
    fields.setdefault("gradient_checkpointing", checkpointing)
    config = configured(
        SFTConfig,
        {
            **fields,
            **owned(model, folder=folder, seed=settings.seed),
            "max_length": None,
            "packing": False,
            "dataset_kwargs": {"skip_prepare_dataset": True},
        },
    )
    student = StudentTrainer(
        model=model,
        args=on_one_device(config),
        processing_class=encoder.tokenizer,
        groups=groups,
        label_ids=encoder.label_ids,
        weights=settings.loss,
        shared_prefix=settings.shared_prefix,
        trial=trial,
    )
    return run_training(student, checkpoint, settings, tried=trial is not None)


def checkpoint_and_fields(
    folder: Path, settings: SftSettings, defaults: Mapping[str, Any], *, tried: bool
) -> tuple[Path | None, dict[str, Any]]:
    """The folder's last complete checkpoint, if any, and the trainer's fields: the defaults, trials', the recipe's."""
    checkpoint = resumed_from(folder)
    fields = {**defaults, **trial_settings(settings, tried, checkpoint is None), **settings.trainer}
    return checkpoint, shared_out(fields)


def run_training(trainer: Any, checkpoint: Path | None, settings: SftSettings, *, tried: bool) -> TrainingOutcome:
    """Train to the end, or until early stopping, from the checkpoint if there is one.

    Raises:
        TrainingError: See `train`.
    """
    folder = Path(str(trainer.args.output_dir))
    accompany(trainer, folder.parent / "log.jsonl", bar=shown())
    if tried:
        trainer.add_callback(LastTrial())
        patience = settings.validation.patience
        if patience is not None and trainer.args.load_best_model_at_end:
            trainer.add_callback(EarlyStoppingCallback(patience))
    with explained(folder, settings.shorter):
        closing = run_to_end(trainer, checkpoint)
    return TrainingOutcome({**closing, **best_of(trainer.state)}, trainer.state.log_history)


def largest_microbatch(groups: Sequence[Group], trainer: Mapping[str, Any], *, shared_prefix: bool) -> Microbatch:
    """An upper bound of any microbatch: the largest groups together, with each group's shared prefixes counted once."""
    number = trainer.get("per_device_train_batch_size", DEFAULTS["per_device_train_batch_size"])
    scored = sorted(sum(len(row.answer) + 3 * (row.grade_at is not None) for row in group) for group in groups)
    if not shared_prefix:
        longest = sorted(max(len(row.input_ids) for row in group) for group in groups)[-number:]
        rows = sum(sorted(map(len, groups))[-number:])
        return Microbatch(rows * longest[-1], rows * longest[-1], sum(scored[-number:]))
    apart = [sum(len(row.input_ids) for row in group) for group in groups]
    sizes: list[tuple[int, int]] = []
    for place in sorted(range(len(apart)), key=lambda place: -apart[place]):
        # A tree is never larger than its separate rows, and these only get smaller from here.
        if len(sizes) >= number and sizes[number - 1][0] >= apart[place]:
            break
        sizes.append(sequences_size((row.prompt, row.answer) for row in groups[place]))
        sizes.sort(reverse=True)
    tokens, keys = (sum(size[place] for size in sizes[:number]) for place in range(2))
    return Microbatch(tokens, keys, sum(scored[-number:]))


def trial_settings(settings: SftSettings, tried: bool, fresh: bool) -> dict[str, Any]:
    """The trainer's fields for trials, the best adapter and checkpoints."""
    every = settings.validation.every or settings.trainer.get("save_steps", _SAVE_STEPS)
    if not tried:
        return {"save_steps": every}
    best = settings.trainer.get("save_strategy", "steps") != "no"
    return {
        "save_steps": every,
        "eval_strategy": "steps",
        "eval_steps": every,
        "eval_on_start": fresh,
        "load_best_model_at_end": best,
        "metric_for_best_model": DEFAULT_MEASURE if best else None,
        "greater_is_better": True if best else None,
        # A checkpoint holds the number of trials without improvement.
        "restore_callback_states_from_checkpoint": settings.validation.patience is not None,
    }


def best_of(state: TrainerState) -> dict[str, float]:
    """The step of the kept adapter and its measure; empty where no adapter was tried."""
    if state.best_metric is None:
        return {}
    return {"best_step": state.best_global_step or 0, f"best_{DEFAULT_MEASURE}": state.best_metric}


class LastTrial(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Tries the last step's adapter too, which may be the best."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Ask for a trial after the last step."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = True
