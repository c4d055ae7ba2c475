"""The loss of distillation: the answers' tokens, the teacher's grade probabilities, and lists of documents.

Each part is a mean over an optimizer step, however it is cut into microbatches. A row's part is multiplied by its
weight, but the mean divides by the number, not by the sum of weights, so that a step of small weights moves less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from interank.settings.student import LossRecipe
from interank.training.rows import Group, Row
from interank.types import GRADES

# The gain of each grade in a list, as in nDCG with exponential gains.
GAINS = tuple(2.0**grade - 1 for grade in GRADES)


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Log-probabilities of rows: of each answer's tokens, and of the three grades at the grade's position.

    `answers` is (rows, longest answer) with 0 beyond a row's end; `grades` is (rows, 3), 0 for rows without a grade.
    """

    answers: torch.Tensor
    grades: torch.Tensor


@dataclass(frozen=True, slots=True)
class Totals:
    """The numbers of tokens, grades and lists in a whole optimizer step, by which the parts are divided."""

    tokens: int
    grades: int
    lists: int

    @classmethod
    def of(cls, groups: Iterable[Group]) -> Totals:
        """Count the tokens, grades and lists of groups."""
        whole = list(groups)
        rows = [row for group in whole for row in group]
        return cls(
            sum(len(row.answer) - row.trained_from for row in rows),
            sum(row.grade_at is not None for row in rows),
            sum(len(_listed(group)) > 0 for group in whole),
        )


def loss_of(groups: Sequence[Group], scored: ScoredRows, totals: Totals, weights: LossRecipe) -> torch.Tensor:
    """A microbatch's part of the step's loss."""
    rows = [row for group in groups for row in group]
    loss = scored.answers.new_zeros(())
    row_weights = torch.tensor([row.weight for row in rows])[:, None]
    if weights.tokens:
        mask = trained(rows, scored.answers)
        weighted = scored.answers * row_weights.to(scored.answers)
        loss = loss - weights.tokens * weighted[mask].sum() / max(1, totals.tokens)
    if weights.grade:
        targets = torch.tensor([row.grades or (0.0, 0.0, 0.0) for row in rows]).to(scored.grades)
        targets = targets * row_weights.to(targets)
        loss = loss - weights.grade * (targets * scored.grades).sum() / max(1, totals.grades)
    if weights.listwise:
        parts = [_list_loss(places, rows, scored.grades) for places in _lists(groups)]
        loss = loss + weights.listwise * sum(parts, loss.new_zeros(())) / max(1, totals.lists)
    return loss


def trained(rows: Sequence[Row], answers: torch.Tensor) -> torch.Tensor:
    """True for the positions of `answers` with a loss."""
    places = torch.arange(answers.shape[1])
    first = torch.tensor([row.trained_from for row in rows])[:, None]
    end = torch.tensor([len(row.answer) for row in rows])[:, None]
    return ((places >= first) & (places < end)).to(answers.device)


def scores(grades: torch.Tensor) -> torch.Tensor:
    """The scores of documents, from the grades' log-probabilities or logits (documents, 3); see `judging.score`."""
    irrelevant, partial, relevant = grades.unbind(-1)
    doubled = torch.log(torch.tensor(2.0, device=grades.device))
    return torch.logaddexp(partial, relevant + doubled) - torch.logaddexp(irrelevant + doubled, partial)


def _list_loss(places: list[int], rows: Sequence[Row], grades: torch.Tensor) -> torch.Tensor:
    """Cross-entropy between each document's share of the gain and the softmax of the scores (Cao et al., ICML 2007).

    A document's weight multiplies its gain, as clicks in a list are weighted by their propensity.
    """
    gains = torch.tensor([_gain(rows[place]) * rows[place].weight for place in places]).to(grades)
    target = gains / gains.sum()
    return -(target * scores(grades[places]).log_softmax(0)).sum()


def _lists(groups: Sequence[Group]) -> Iterator[list[int]]:
    """For each group with a list the indices of its rows, counted through all groups."""
    start = 0
    for group in groups:
        places = _listed(group)
        if places:
            yield [start + place for place in places]
        start += len(group)


def _listed(group: Group) -> list[int]:
    """The indices of a group's listed rows; empty where all have the same gain."""
    places = [place for place, row in enumerate(group) if row.listed]
    gains = [_gain(group[place]) for place in places]
    return places if len({*gains}) > 1 else []


def _gain(row: Row) -> float:
    return sum(gain * share for gain, share in zip(GAINS, row.grades or (), strict=True))
