"""The two halves of a training's validation questions: one chooses the adapter, the other reports its figures."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence

# The prefix of figures of the questions that only report.
REPORTED = "reported/"
# With fewer questions a half would be too small to choose by.
LEAST = 4


def reporting(questions: Iterable[str], seed: int) -> frozenset[str]:
    """A seeded half of the questions that only report; none where there are fewer than four."""
    distinct = sorted({*questions})
    if len(distinct) < LEAST:
        return frozenset()
    return frozenset(random.Random(f"{seed} report").sample(distinct, len(distinct) // 2))


def places(questions: Sequence[str], reported: Collection[str]) -> dict[str, list[int]]:
    """The indices of each half's questions, by the prefix of the half's figures; empty halves are left out."""
    halves: dict[str, list[int]] = {"": [], REPORTED: []}
    for place, question in enumerate(questions):
        halves[REPORTED if question in reported else ""].append(place)
    return {prefix: own for prefix, own in halves.items() if own}


def counted(questions: Iterable[str], reported: Collection[str]) -> Mapping[str, int]:
    """The number of questions in each half."""
    distinct = {*questions}
    return {"choosing": len(distinct - {*reported}), "reporting": len(distinct & {*reported})}
