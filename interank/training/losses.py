"""The loss of distillation: answers' tokens, grades against the teacher's probabilities, documents in lists.

Each part is a mean over all of an optimizer step's rows, however they are cut into microbatches. A row's part is
multiplied by its weight; the mean is over rows all the same, so that a step of light rows moves less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from interank.settings.student import LossRecipe
from interank.training.rows import Group, Row
from interank.types import GRADES

# What a document of each grade gains in a list, as in nDCG with exponential gains.
GAINS = tuple(2.0**grade - 1 for grade in GRADES)


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Log-probabilities of rows: of each answer's tokens, and of the three grades at the grade's place.

    `answers` is (rows, longest answer) with 0 beyond a row's end; `grades` is (rows, 3), 0 where nothing is graded.
    """

    answers: torch.Tensor
    grades: torch.Tensor


@dataclass(frozen=True, slots=True)
class Totals:
    """How much of each part a whole optimizer step has."""

    tokens: int
    grades: int
    lists: int

    @classmethod
    def of(cls, groups: Iterable[Group]) -> Totals:
        """Count what the groups hold."""
        kept = list(groups)
        rows = [row for group in kept for row in group]
        return cls(
            sum(len(row.answer) - row.trained_from for row in rows),
            sum(row.grade_at is not None for row in rows),
            sum(len(_listed(group)) > 0 for group in kept),
        )


def loss_of(groups: Sequence[Group], scored: ScoredRows, totals: Totals, weights: LossRecipe) -> torch.Tensor:
    """What a microbatch adds to the step's loss."""
    rows = [row for group in groups for row in group]
    loss = scored.answers.new_zeros(())
    each = torch.tensor([row.weight for row in rows])[:, None]
    if weights.tokens:
        mask = trained(rows, scored.answers)
        found = scored.answers * each.to(scored.answers)
        loss = loss - weights.tokens * found[mask].sum() / max(1, totals.tokens)
    if weights.grade:
        targets = torch.tensor([row.grades or (0.0, 0.0, 0.0) for row in rows]).to(scored.grades)
        targets = targets * each.to(targets)
        loss = loss - weights.grade * (targets * scored.grades).sum() / max(1, totals.grades)
    if weights.listwise:
        parts = [_list_loss(places, rows, scored.grades) for places in _lists(groups)]
        loss = loss + weights.listwise * sum(parts, loss.new_zeros(())) / max(1, totals.lists)
    return loss


def trained(rows: Sequence[Row], answers: torch.Tensor) -> torch.Tensor:
    """Which places of `answers` the loss is on."""
    places = torch.arange(answers.shape[1])
    first = torch.tensor([row.trained_from for row in rows])[:, None]
    end = torch.tensor([len(row.answer) for row in rows])[:, None]
    return ((places >= first) & (places < end)).to(answers.device)


def scores(grades: torch.Tensor) -> torch.Tensor:
    """What documents are ranked by, of log-probabilities or logits of shape (documents, 3); see `judging.score`."""
    irrelevant, partial, relevant = grades.unbind(-1)
    doubled = torch.log(torch.tensor(2.0, device=grades.device))
    return torch.logaddexp(partial, relevant + doubled) - torch.logaddexp(irrelevant + doubled, partial)


def _list_loss(places: list[int], rows: Sequence[Row], grades: torch.Tensor) -> torch.Tensor:
    """Cross-entropy between the shares of the list's gain and the softmax of its scores (Cao et al., ICML 2007).

    A document's weight multiplies its gain, as clicks are weighed by their propensity in a list.
    """
    gains = torch.tensor([_gain(rows[place]) * rows[place].weight for place in places]).to(grades)
    target = gains / gains.sum()
    return -(target * scores(grades[places]).log_softmax(0)).sum()


def _lists(groups: Sequence[Group]) -> Iterator[list[int]]:
    """The rows, counted through all groups, that are compared with each other."""
    start = 0
    for group in groups:
        places = _listed(group)
        if places:
            yield [start + place for place in places]
        start += len(group)


def _listed(group: Group) -> list[int]:
    """The rows of a group that make a list; none where there is nothing to tell apart."""
    places = [place for place, row in enumerate(group) if row.listed]
    gains = [_gain(group[place]) for place in places]
    return places if len({*gains}) > 1 else []


def _gain(row: Row) -> float:
    return sum(gain * share for gain, share in zip(GAINS, row.grades or (), strict=True))
