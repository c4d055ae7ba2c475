"""Trials of a model during its training, and the check that its loss is a finite number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch

from interank import distributed
from interank.errors import TrainingError

Probabilities = tuple[float, float, float]
"""The probabilities of the grades 0, 1 and 2."""


class Trial(Protocol):
    """Tries a model on the same held-out questions each time."""

    def __call__(self, model: Any) -> Mapping[str, float]:
        """The figures of the model as it is now, nDCG@10 among them."""
        ...


class PolicyTrial(Trial, Protocol):
    """A trial of a policy in rl: some of its questions only report, and it keeps the probabilities of the start."""

    start: list[Probabilities]
    """The grades' probabilities at the start, in the order of the trial's pairs; empty without grades."""
    questions: Mapping[str, int]
    """The numbers of questions that choose and that report."""

    @property
    def answers(self) -> Sequence[Mapping[str, Any]]:
        """The complete answers of the last call: rows as in `rollouts.jsonl`, with `completion`.

        Each call asks the same questions, so that answers can be compared over time.
        """
        ...


def tried(trainer: Any, trial: Trial | None) -> dict[str, float]:
    """Try the trainer's model in evaluation mode; the figures go to the trainer's log and callbacks."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    was_training = model.training
    model.eval()
    try:
        # Every process decides by them, so they have to be the same.
        figures = distributed.same({f"eval_{name}": value for name, value in trial(model).items()} if trial else {})
        trainer.log(figures)
    finally:
        model.train(was_training)
    trainer.callback_handler.on_evaluate(trainer.args, trainer.state, trainer.control, figures)
    return figures


def check_number(loss: torch.Tensor, step: int) -> None:
    """Refuse a loss that is no finite number, before it reaches the weights.

    Raises:
        TrainingError: The loss is not finite; the weights are still those of the step before.
    """
    if not torch.isfinite(loss):
        raise TrainingError(
            f"step {step}: the loss is {loss.item()}; the last complete checkpoint is kept. "
            "Lower trainer.learning_rate or trainer.max_grad_norm and start again, or with --overwrite"
        )
