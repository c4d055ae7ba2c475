"""What every trainer of students does beside its loss: trials, and a stop where the loss is no number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch

from interank import distributed
from interank.errors import TrainingError

Probabilities = tuple[float, float, float]
"""Of the grades 0, 1 and 2."""


class Trial(Protocol):
    """Tries a model on the same held-out questions each time."""

    def __call__(self, model: Any) -> Mapping[str, float]:
        """The figures of the model as it is now, nDCG@10 among them."""
        ...


class PolicyTrial(Trial, Protocol):
    """A trial of what rl improves: some of its questions only report, and it knows where the training began."""

    start: list[Probabilities]
    """The grades' at the start, in the order of what is tried; empty where no grades are asked for."""
    questions: Mapping[str, int]
    """How many questions choose and how many report."""

    @property
    def answers(self) -> Sequence[Mapping[str, Any]]:
        """Answers that it had written whole when it was last called: rows as of `rollouts.jsonl`, with `completion`.

        Each call asks the same, so that one sees what becomes of an answer.
        """
        ...


def tried(trainer: Any, trial: Trial | None) -> dict[str, float]:
    """Try the trainer's model as it will be used; the figures go where the trainer's go."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    was_training = model.training
    model.eval()
    try:
        # What comes next hangs on them, in every process.
        figures = distributed.same({f"eval_{name}": value for name, value in trial(model).items()} if trial else {})
        trainer.log(figures)
    finally:
        model.train(was_training)
    trainer.callback_handler.on_evaluate(trainer.args, trainer.state, trainer.control, figures)
    return figures


def check_number(loss: torch.Tensor, step: int) -> None:
    """Stop before a loss that is no number reaches the weights.

    Raises:
        TrainingError: It is none; the weights are still those of the step before.
    """
    if not torch.isfinite(loss):
        raise TrainingError(
            f"step {step}: the loss is {loss.item()}; the last complete checkpoint is kept. "
            "Lower trainer.learning_rate or trainer.max_grad_norm and start again, or with --overwrite"
        )
