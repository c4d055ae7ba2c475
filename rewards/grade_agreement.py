"""How near the completion's grade is to the judged one.

Value: 1 - |grade - judged| / 2, so 1 when equal and 0 when opposite; -1 for a completion without a readable grade.
"""

from __future__ import annotations

from collections.abc import Sequence

from interank.judging import parse

UNREADABLE = -1.0


def reward(*, completions: Sequence[str], relevance: Sequence[int], **_: object) -> list[float | None]:
    """One value in {-1, 0, 0.5, 1} a completion."""
    values: list[float | None] = []
    for completion, judged in zip(completions, relevance, strict=True):
        judgment = parse(completion)
        values.append(UNREADABLE if judgment is None else 1.0 - abs(judgment.relevance - judged) / 2)
    return values
