"""What a policy is trained for: which rewards credit which tokens, how the grade is trained, and what is refilled."""

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
    """The recipe's part of the update, for `PolicyTrainer`."""

    rewards: Sequence[WeightedReward]
    """What completions are rewarded by."""
    lead: tuple[int, ...] = ()
    """The ids before a grade-first answer's grade."""
    labels: tuple[int, ...] = ()
    """The ids of the three grades."""
    grade: GradeLoss = field(default_factory=GradeLoss)
    """How the grade is trained besides sampling; with rewards of its own it is not sampled."""
    token_credit: bool = True
    """Whether the tokens after a grade get the explanation's rewards only."""
    documents: int = 1
    """How many documents of a query stand together."""
    refills: int = 0
    """How often queries from whose completions nothing is to be learned are replaced by others, at most."""
    reserve: Sequence[Row] = field(default=(), repr=False)
    """The rows of all training queries, `documents` on end, of which replacements are drawn."""

    @property
    def splits(self) -> bool:
        """Whether different tokens of a completion may get different advantages."""
        return self.token_credit and len({reward.credit for reward in self.rewards}) > 1

    def grade_at(self, rows: Sequence[Row]) -> torch.Tensor:
        """The grade's place in each completion, -1 where the reasoning comes first."""
        first = [row.get("order", "grade_first") == "grade_first" for row in rows]
        return torch.tensor([len(self.lead) if is_first else -1 for is_first in first])


def grade_targets(objective: Objective, rows: Sequence[Row], grade_at: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a batch says for the grades' loss, row by row: place, what each grade would earn, the judged one, the query.

    Args:
        objective: Knows the grades' rewards.
        rows: The batch's, with the policy's `probabilities`.
        grade_at: As of `Objective.grade_at`.
    """
    # The same number for a query in whatever batch it is generated, since some take others' places.
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
        Ids and mask of shape (3 * chosen, tokens), the completions padded on the right as TRL has them.
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
