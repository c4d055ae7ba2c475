"""Pairs of explanations of one document, by their marks, for a reward model to learn from."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from interank.errors import InputError
from interank.explanations import ExplanationRow, Fault
from interank.types import grouped
from interank.wording import counted


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two explanations of one document; `better` has the higher mark."""

    better: ExplanationRow
    worse: ExplanationRow

    @property
    def difference(self) -> float:
        """The difference of the marks."""
        assert self.better.mark is not None and self.worse.mark is not None
        return self.better.mark - self.worse.mark


def marked(rows: Sequence[ExplanationRow], left_out: Collection[Fault] = ()) -> list[ExplanationRow]:
    """The explanations that were not dropped, without those of the kinds `left_out`."""
    return [row for row in rows if row.dropped is None and row.kind not in left_out]


def by_document(rows: Sequence[ExplanationRow]) -> list[list[ExplanationRow]]:
    """The explanations of each judged pair."""
    return list(grouped(rows, lambda row: (row.query_id, row.doc_id)).values())


def comparisons(
    rows: Sequence[ExplanationRow], *, least: float, most: int | None = None, seed: int = 0
) -> Iterator[Comparison]:
    """The pairs of explanations of each document whose marks differ by `least`, a sample of at most `most` of them."""
    rng = random.Random(seed)
    for items in by_document(rows):
        pairs = []
        for one, other in combinations(items, 2):
            assert one.mark is not None and other.mark is not None
            # Marks are decimal fractions, whose difference rounding moves.
            if abs(one.mark - other.mark) >= least - 1e-9:
                pairs.append(Comparison(one, other) if one.mark > other.mark else Comparison(other, one))
        yield from pairs if most is None or len(pairs) <= most else rng.sample(pairs, most)


def dealt_anew(rows: Sequence[ExplanationRow], seed: int) -> list[ExplanationRow]:
    """The explanations with marks shuffled within each document: a control, from which nothing can be learned."""
    rng = random.Random(seed)
    shuffled = []
    for items in by_document(rows):
        marks = [row.mark for row in items]
        rng.shuffle(marks)
        shuffled += [replace(row, mark=mark) for row, mark in zip(items, marks, strict=True)]
    return shuffled


def require_comparable(rows: Sequence[ExplanationRow], least: float, place: Path) -> None:
    """Refuse explanations without a pair whose marks differ enough.

    Raises:
        InputError: There is no such pair.
    """
    if next(comparisons(rows, least=least), None) is not None:
        return
    documents = by_document(rows)
    if not rows:
        raise InputError(
            f"{place} has no marked explanation of the training split (or none that is not left_out); make some with "
            "interank generate and its section explanations"
        )
    if all(len(items) == 1 for items in documents):
        raise InputError(
            f"{place} has one marked explanation for each of {counted(len(documents), 'judged pair')}, and a reward "
            "model learns which of a pair's explanations is better; make more with explanations.samples or "
            "explanations.faults"
        )
    raise InputError(
        f"{place}: no two explanations of a judged pair have marks that lie {least:g} apart, so none is better than "
        "another; lower least_difference, or have them marked by a teacher that tells them apart"
    )
