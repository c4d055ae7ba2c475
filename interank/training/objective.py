"""The objective of a policy's training: its rewards, the grade's loss, and the replacement of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import torch

from interank.rewards import WeightedReward
from interank.training.grade_gradient import GradeLoss

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Objective:
    """The recipe's part of an update, for `PolicyTrainer`."""

    rewards: Sequence[WeightedReward]
    """The rewards of completions."""
    lead: tuple[int, ...] = ()
    """The token ids before the grade of a grade-first answer."""
    labels: tuple[int, ...] = ()
    """The token ids of the three grades."""
    grade: GradeLoss = field(default_factory=GradeLoss)
    """The loss of the grade besides sampling; with rewards of its own it is not sampled."""
    token_credit: bool = True
    """Whether the tokens after a grade get the explanation's rewards only."""
    documents: int = 1
    """The number of a query's documents in a batch, in consecutive rows."""
    refills: int = 0
    """The most rounds in which queries without a gradient are replaced by others."""
    reserve: Sequence[Row] = field(default=(), repr=False)
    """The rows of all training queries, `documents` consecutive rows each, from which replacements are drawn."""

    @property
    def splits(self) -> bool:
        """Whether different tokens of a completion may get different advantages."""
        return self.token_credit and len({reward.credit for reward in self.rewards}) > 1

    def grade_at(self, rows: Sequence[Row]) -> torch.Tensor:
        """The grade's position in each completion, -1 where the reasoning comes first."""
        first = [row.get("order", "grade_first") == "grade_first" for row in rows]
        return torch.tensor([len(self.lead) if is_first else -1 for is_first in first])


def grade_targets(objective: Objective, rows: Sequence[Row], grade_at: torch.Tensor) -> dict[str, torch.Tensor]:
    """A batch's tensors for the grades' loss, by row: the grade's position, its values, the judged grade, the query.

    Args:
        objective: Has the grades' rewards.
        rows: The batch's rows, with the policy's `probabilities`.
        grade_at: The result of `Objective.grade_at`.
    """
    # A query's number is the same in every batch, since queries replace those of other batches.
    queries = [crc32(str(row["query_id"]).encode()) for row in rows]
    return {
        "grade_at": grade_at,
        "grade_values": objective.grade.values(rows).to(grade_at.device),
        "judged": torch.tensor([row["relevance"] for row in rows], device=grade_at.device),
        "query": torch.tensor(queries, device=grade_at.device),
    }


def graded_rows(
    input_ids: torch.Tensor, mask: torch.Tensor, width: int, chosen: Sequence[int], objective: Objective
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows to add to a batch: each chosen row's prompt with each grade as its completion.

    Returns:
        Ids and mask of shape (3 * chosen, tokens), the completions padded on the right as TRL's are.
    """
    answers = torch.zeros((len(objective.labels), width), dtype=input_ids.dtype, device=input_ids.device)
    real = torch.zeros_like(answers)
    for number, label in enumerate(objective.labels):
        ids = torch.tensor([*objective.lead, label]).to(answers)
        answers[number, : len(ids)], real[number, : len(ids)] = ids, 1
    rows = torch.tensor(list(chosen), device=input_ids.device).repeat_interleave(len(objective.labels))
    return (
        torch.cat([input_ids[rows, :-width], answers.repeat(len(chosen), 1)], 1),
        torch.cat([mask[rows, :-width], real.repeat(len(chosen), 1).to(mask)], 1),
    )
