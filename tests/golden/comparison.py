"""Two readings of a case held against each other: numbers to a tolerance, everything else as it stands.

Processors add up in different orders: documents whose scores are equal but for the tolerance may change places.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

TOLERANCE = 1e-5
"""Of a number's size, or of 1 where it is smaller."""


def differences(golden: Any, found: Any, place: str = "") -> Iterator[str]:
    """A line for every place in which they differ."""
    if isinstance(golden, dict) and isinstance(found, dict):
        for name in sorted({*golden, *found}):
            if name not in golden or name not in found:
                yield f"{place}/{name}: only in {'the golden file' if name in golden else 'what was computed'}"
            elif not (name == "order" and _as_good(found[name], golden)):
                yield from differences(golden[name], found[name], f"{place}/{name}")
    elif isinstance(golden, list) and isinstance(found, list):
        if len(golden) != len(found):
            yield f"{place}: {len(golden)} items expected, {len(found)} computed"
        for number, (one, other) in enumerate(zip(golden, found, strict=False)):
            yield from differences(one, other, f"{place}/{number}")
    elif _number(golden) and _number(found):
        if not math.isclose(golden, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{place}: {golden} expected, {found} computed"
    elif golden != found:
        yield f"{place}: {golden!r} expected, {found!r} computed"


def _as_good(order: list[str], golden: dict[str, Any]) -> bool:
    """Whether a golden ranking's scores fall along another order of the same documents too."""
    if sorted(order) != sorted(golden["order"]):
        return False
    scores = [golden["documents"][name]["score"] for name in order]
    return None not in scores and all(
        one >= other or math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        for one, other in pairwise(scores)
    )


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
