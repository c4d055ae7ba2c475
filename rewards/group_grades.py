"""How close the completion's grades of a window are to the judged ones.

Closeness is 1 - |g - y| / 2. Value: its mean over the documents of each judged grade, then the mean over the grades of
the window, so that grade 0 for all pays no more than another grade where most documents are irrelevant. Range 0 to 1;
-1 for a completion that does not grade each document once, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from interank.tasks.group import parse

OF = "groups"


def reward(*, completions: Sequence[str], grades: Sequence[Sequence[int]], **_: object) -> list[float | None]:
    """One value a completion."""
    return [_closeness(completion, judged) for completion, judged in zip(completions, grades, strict=True)]


def _closeness(completion: str, judged: Sequence[int]) -> float:
    given = parse(completion, len(judged))
    if given is None:
        return -1.0
    return fmean(
        fmean(1 - abs(own - right) / 2 for own, right in zip(given, judged, strict=True) if right == grade)
        for grade in sorted(set(judged))
    )
