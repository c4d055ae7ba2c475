"""Explanations of one document, two at a time: which has the better mark, and what there is to learn of that."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from interank.errors import InputError
from interank.explanations import Explained, Fault
from interank.types import grouped
from interank.wording import counted


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two explanations of one document; `better` has the higher mark."""

    better: Explained
    worse: Explained

    @property
    def difference(self) -> float:
        """By how much."""
        assert self.better.mark is not None and self.worse.mark is not None
        return self.better.mark - self.worse.mark


def marked(rows: Sequence[Explained], left_out: Collection[Fault] = ()) -> list[Explained]:
    """The explanations that count, less those of some kinds."""
    return [row for row in rows if row.dropped is None and row.kind not in left_out]


def by_document(rows: Sequence[Explained]) -> list[list[Explained]]:
    """The explanations of each judged pair."""
    return list(grouped(rows, lambda row: (row.query_id, row.doc_id)).values())


def comparisons(
    rows: Sequence[Explained], *, least: float, most: int | None = None, seed: int = 0
) -> Iterator[Comparison]:
    """Of each document the explanations whose marks lie `least` apart, at most `most` pairs of them."""
    rng = random.Random(seed)
    for items in by_document(rows):
        found = []
        for one, other in combinations(items, 2):
            assert one.mark is not None and other.mark is not None
            # Marks are decimal fractions, whose difference rounding moves.
            if abs(one.mark - other.mark) >= least - 1e-9:
                found.append(Comparison(one, other) if one.mark > other.mark else Comparison(other, one))
        yield from found if most is None or len(found) <= most else rng.sample(found, most)


def dealt_anew(rows: Sequence[Explained], seed: int) -> list[Explained]:
    """Each document's marks on other explanations of it: what is learned of them, is learned of nothing."""
    rng = random.Random(seed)
    dealt = []
    for items in by_document(rows):
        marks = [row.mark for row in items]
        rng.shuffle(marks)
        dealt += [replace(row, mark=mark) for row, mark in zip(items, marks, strict=True)]
    return dealt


def require_comparable(rows: Sequence[Explained], least: float, place: Path) -> None:
    """Stop where no two explanations of a document can be told apart by their marks.

    Raises:
        InputError: Says why not.
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
