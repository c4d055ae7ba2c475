"""Rollouts that one can read: of some steps, a query's completions with what each reward gave them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.ledger import Ledger

EARNED = "earned"
"""The column of TRL's rows that holds what a row's completion earned."""


@dataclass(frozen=True, slots=True)
class RewardedCompletion:
    """A completion, and what each reward gave it: NaN where none applies to it."""

    completion: str
    rewards: Sequence[float]


@dataclass(frozen=True, slots=True)
class Recorder:
    """Appends the first `rows` completions of every so many steps to a file."""

    file: Path
    every: int
    rows: int
    columns: Sequence[str]
    """Those of a row that tell what its completion answers."""

    def rewind(self, step: int) -> None:
        """Drop what was recorded after a step that is gone back to."""
        ledger = Ledger(self.file)
        ledger.replace([row for row in ledger.rows() if row["step"] <= step])

    def __call__(
        self, step: int, inputs: Sequence[Mapping[str, Any]], batch: Mapping[str, Any], names: Sequence[str]
    ) -> None:
        """Record the completions of the step under way, the first of which is step 1.

        Args:
            step: Its number.
            inputs: TRL's rows, with what each one's completion earned (`EARNED`).
            batch: TRL's batch.
            names: What the rewards are called.
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
                # What each grade would earn, where it is summed over and not sampled.
                "earns": [round(value, 4) for value in earns[row]] if earns else None,
                # Of the first token and of the last: the grade's and the explanation's, in grade-first order.
                "advantage": [round(float(advantages[row, place]), 4) for place in (0, -1)],
            }
            for row in range(number)
        )


def _named(names: Sequence[str], values: Sequence[float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else round(value, 4) for name, value in zip(names, values, strict=True)}
