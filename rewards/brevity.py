"""A soft limit on the explanation's length.

Value: 0 up to `soft` words, then falling linearly to -1 at `hard` words and beyond; -1 for a completion that cannot be
read. Every six characters count as a word at least, so that leaving out spaces saves nothing. This is the soft
over-long punishment of DAPO (arXiv 2503.14476, equation 13), in words.
"""

from __future__ import annotations

from collections.abc import Sequence

from interank.judging import parse

CREDIT = "explanation"
_CHARACTERS = 6
_WORST = -1.0


def reward(*, completions: Sequence[str], soft: int = 60, hard: int = 120, **_: object) -> list[float | None]:
    """One value from -1 to 0 a completion."""
    values: list[float | None] = []
    for completion in completions:
        judgment = parse(completion)
        if judgment is None:
            values.append(_WORST)
            continue
        words = max(len(judgment.reasoning.split()), len(judgment.reasoning) / _CHARACTERS)
        values.append(-min(1.0, max(0.0, (words - soft) / max(1, hard - soft))))
    return values
