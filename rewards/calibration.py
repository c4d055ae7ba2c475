"""A proper scoring rule on the probabilities that the policy gave the three grades after its reasoning.

`brier`: 1 - sum over the grades of (p - [judged])^2 / 2 (Brier 1950), 0 to 1. `log`: 1 + ln(p of the judged grade) /
ln(1 / least), with p not below `least` (Good 1952), 0 to 1. -1 for a completion that cannot be read.

None in grade-first order, where all completions of a pair share one vector of probabilities, so that their values would
not differ; `calibration:` in the recipe is the same rule as a differentiable loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from interank.errors import InputError
from interank.judging import parse

CREDIT = "explanation"
ORDERS = ("reason_first",)
UNREADABLE = -1.0


def reward(
    *,
    completions: Sequence[str],
    probabilities: Sequence[Sequence[float]],
    relevance: Sequence[int],
    order: Sequence[str] | None = None,
    rule: str = "brier",
    least: float = 0.01,
    **_: object,
) -> list[float | None]:
    """One value for each completion: 0 to 1, -1 or None."""
    if rule not in ("brier", "log"):
        raise InputError(f"reward calibration: rule is {rule!r}; it has to be brier or log")
    values: list[float | None] = []
    orders = order or ["reason_first"] * len(completions)
    for completion, given, judged, how in zip(completions, probabilities, relevance, orders, strict=True):
        if how != "reason_first":
            values.append(None)
        elif parse(completion) is None:
            values.append(UNREADABLE)
        elif rule == "brier":
            values.append(1 - sum((p - (grade == judged)) ** 2 for grade, p in enumerate(given)) / 2)
        else:
            values.append(1 + math.log(max(given[judged], least)) / -math.log(least))
    return values
