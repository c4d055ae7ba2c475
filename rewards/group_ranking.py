"""How well the completion's grades put a window's documents in order.

Value: the share of pairs of documents with different judged grades that the completion's grades put in the judged
order; a pair with equal grades counts half. Range 0 to 1, with 0.5 for one grade for all; -1 for a completion that
does not grade each document once, in order; None where all documents of the window have the same judged grade.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import fmean

from interank.tasks.group import parse

OF = "groups"


def reward(*, completions: Sequence[str], grades: Sequence[Sequence[int]], **_: object) -> list[float | None]:
    """One value a completion."""
    return [_in_order(completion, judged) for completion, judged in zip(completions, grades, strict=True)]


def _in_order(completion: str, judged: Sequence[int]) -> float | None:
    pairs = [(one, other) for one, other in combinations(range(len(judged)), 2) if judged[one] != judged[other]]
    if not pairs:
        return None
    given = parse(completion, len(judged))
    if given is None:
        return -1.0
    return fmean(_agrees(given[one] - given[other], judged[one] - judged[other]) for one, other in pairs)


def _agrees(given: int, judged: int) -> float:
    return 0.5 if given == 0 else float((given > 0) == (judged > 0))
