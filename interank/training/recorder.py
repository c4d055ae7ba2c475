"""Records rollouts for people to read: at some steps, a query's completions with the value of each reward."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.ledger import Ledger

EARNED = "earned"
"""The column of TRL's rows that holds a completion's rewards (`RewardedCompletion`)."""


@dataclass(frozen=True, slots=True)
class RewardedCompletion:
    """A completion and the value of each reward; NaN where a reward does not apply to it."""

    completion: str
    rewards: Sequence[float]


@dataclass(frozen=True, slots=True)
class Recorder:
    """Appends the first `rows` completions of every `every`-th step to a file."""

    file: Path
    every: int
    rows: int
    columns: Sequence[str]
    """The row's columns that are recorded with a completion."""

    def rewind(self, step: int) -> None:
        """Drop the records of later steps, before a training resumes from this step."""
        ledger = Ledger(self.file)
        ledger.replace([row for row in ledger.rows() if row["step"] <= step])

    def __call__(
        self, step: int, inputs: Sequence[Mapping[str, Any]], batch: Mapping[str, Any], names: Sequence[str]
    ) -> None:
        """Record completions of the present step.

        Args:
            step: The step's number, from 1.
            inputs: TRL's rows, with the rewards of their completions (`EARNED`).
            batch: TRL's batch.
            names: The rewards' names.
        """
        if step != 1 and step % self.every:
            return
        advantages = batch["advantages"].view(len(batch["advantages"]), -1)
        number = min(self.rows, len(inputs))
        earns = batch["grade_values"].tolist() if "grade_values" in batch else None
        Ledger(self.file).append(
            {
                "step": step,
                **{name: inputs[row][name] for name in self.columns},
                "completion": inputs[row][EARNED].completion,
                "rewards": _named(names, inputs[row][EARNED].rewards),
                # The reward of each grade, where grades are summed over and not sampled.
                "earns": [round(value, 4) for value in earns[row]] if earns else None,
                # Of the first token and of the last: in grade-first order the grade's and the explanation's.
                "advantage": [round(float(advantages[row, place]), 4) for place in (0, -1)],
            }
            for row in range(number)
        )


def _named(names: Sequence[str], values: Sequence[float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else round(value, 4) for name, value in zip(names, values, strict=True)}
