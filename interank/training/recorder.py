"""Rollouts that one can read: of some steps, a query's completions with what each reward gave them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from interank.ledger import Ledger

# What a row tells of its pair or its list, as rewards are given it.
_COLUMNS = ("query_id", "doc_id", "order", "relevance", "probabilities", "query", "document")
_OF_LISTS = ("doc_ids", "grades", "documents")


@dataclass(frozen=True, slots=True)
class Recorder:
    """Appends the first `rows` completions of every so many steps to a file."""

    file: Path
    every: int
    rows: int

    def rewind(self, step: int) -> None:
        """Drop what was recorded after a step that is gone back to."""
        ledger = Ledger(self.file)
        ledger.replace([row for row in ledger.rows() if row["step"] <= step])

    def __call__(self, step: int, inputs: Sequence[Mapping[str, Any]], batch: Mapping[str, Any], told: Told) -> None:
        """Record the completions of the step under way, the first of which is step 1."""
        if step != 1 and step % self.every:
            return
        advantages = batch["advantages"].view(len(batch["advantages"]), -1)
        number = min(self.rows, len(inputs))
        earns = batch["grade_values"].tolist() if "grade_values" in batch else None
        Ledger(self.file).append(
            {
                "step": step,
                **{name: inputs[row][name] for name in (*_COLUMNS, *_OF_LISTS) if name in inputs[row]},
                "completion": told.completions[row],
                "rewards": _named(told.names, told.rewards[row].tolist()),
                # What each grade would earn, where it is summed over and not sampled.
                "earns": [round(value, 4) for value in earns[row]] if earns else None,
                # Of the first token and of the last: the grade's and the explanation's, in grade-first order.
                "advantage": [round(float(advantages[row, place]), 4) for place in (0, -1)],
            }
            for row in range(number)
        )


@dataclass(frozen=True, slots=True)
class Told:
    """A batch's texts and rewards, `rewards` of shape (completions, names)."""

    completions: Sequence[str]
    names: Sequence[str]
    rewards: torch.Tensor


def _named(names: Sequence[str], values: Sequence[float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else round(value, 4) for name, value in zip(names, values, strict=True)}
