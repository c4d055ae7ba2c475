"""The two halves of a training's validation questions: by one the adapter is chosen, on the other it is reported."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence

# Before a figure of the questions that only report.
REPORTED = "reported/"
# Under so many questions a half is too small to choose by.
LEAST = 4


def reporting(questions: Iterable[str], seed: int) -> frozenset[str]:
    """Half of the questions, a seeded sample, by which nothing is chosen; none where there are fewer than four."""
    distinct = sorted({*questions})
    if len(distinct) < LEAST:
        return frozenset()
    return frozenset(random.Random(f"{seed} report").sample(distinct, len(distinct) // 2))


def places(questions: Sequence[str], reported: Collection[str]) -> dict[str, list[int]]:
    """Where the questions of each half stand, by what goes before the names of their figures; empty halves left out."""
    halves: dict[str, list[int]] = {"": [], REPORTED: []}
    for place, question in enumerate(questions):
        halves[REPORTED if question in reported else ""].append(place)
    return {prefix: own for prefix, own in halves.items() if own}


def counted(questions: Iterable[str], reported: Collection[str]) -> Mapping[str, int]:
    """How many questions each half has."""
    distinct = {*questions}
    return {"choosing": len(distinct - {*reported}), "reporting": len(distinct & {*reported})}
