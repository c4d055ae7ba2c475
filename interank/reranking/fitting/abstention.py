"""Abstention: a query is not answered if the evidence that its first document is relevant is too weak."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from interank.types import RankedDocument
from interank.wording import counted

# Below this mass the model was more likely to write something other than a grade.
LABEL_MASS = 0.5
_SHARES = 10


@dataclass(frozen=True, slots=True)
class Abstention:
    """The thresholds that the first document must reach for a query to be answered."""

    probability: float
    """The lowest calibrated probability of relevance."""
    label_mass: float = LABEL_MASS
    """The lowest label mass."""

    def abstains(self, ranking: Sequence[RankedDocument]) -> bool:
        """True if the first document misses a threshold, has no probability, or does not exist."""
        if not ranking or ranking[0].probability is None:
            return True
        mass = ranking[0].label_mass
        return ranking[0].probability < self.probability or (mass is not None and mass < self.label_mass)


def fit_abstention(
    confidences: Sequence[float], values: Sequence[float], coverage: float, label_mass: float = LABEL_MASS
) -> tuple[Abstention, list[dict[str, Any]]]:
    """The highest threshold that answers at least a share `coverage` of the queries.

    Args:
        confidences: The first document's calibrated probability, by query.
        values: The measure, by query.
        coverage: The share of queries to answer, above 0.
        label_mass: As in `Abstention`.

    Returns:
        The abstention; and for each tenth of coverage the threshold, the share of queries it answers, and the mean
        measure on them.

    Raises:
        ValueError: There are no queries, or the numbers of confidences and values differ.
    """
    if not confidences or len(confidences) != len(values):
        raise ValueError(
            f"{counted(len(confidences), 'confidence')} and {counted(len(values), 'value')} give no threshold"
        )
    falling = sorted(confidences, reverse=True)
    curve = []
    for tenths in range(_SHARES, 0, -1):
        threshold = falling[math.ceil(tenths / _SHARES * len(falling)) - 1]
        answered = [value for confidence, value in zip(confidences, values, strict=True) if confidence >= threshold]
        curve.append({"probability": threshold, "coverage": len(answered) / len(values), "value": fmean(answered)})
    chosen = falling[max(0, math.ceil(coverage * len(falling) - 1e-9) - 1)]
    return Abstention(chosen, label_mass), curve
