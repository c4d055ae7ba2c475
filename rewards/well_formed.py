"""Whether the completion can be read: exactly one label, in its place, and an explanation.

Value: 1 for a readable grade with an explanation, 0.5 for one without, 0 for anything else.
"""

from __future__ import annotations

from collections.abc import Sequence

from interank.judging import parse

CREDIT = "answer"


def reward(*, completions: Sequence[str], **_: object) -> list[float | None]:
    """One value in {0, 0.5, 1} a completion."""
    values: list[float | None] = []
    for completion in completions:
        judgment = parse(completion)
        values.append(0.0 if judgment is None else 1.0 if judgment.reasoning else 0.5)
    return values
