"""When a ranking is better not answered with: too thin is the evidence that its first document is relevant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from interank.types import RankedDocument
from interank.wording import counted

# Below it the model was more likely to write something else than a grade.
LABEL_MASS = 0.5
_SHARES = 10


@dataclass(frozen=True, slots=True)
class Abstention:
    """The least that the first document must have for its ranking to be answered with."""

    probability: float
    """Calibrated."""
    label_mass: float = LABEL_MASS

    def abstains(self, ranking: Sequence[RankedDocument]) -> bool:
        """Whether the evidence is too thin; without documents, or without a probability, there is none."""
        if not ranking or ranking[0].probability is None:
            return True
        mass = ranking[0].label_mass
        return ranking[0].probability < self.probability or (mass is not None and mass < self.label_mass)


def fit_abstention(
    confidences: Sequence[float], values: Sequence[float], coverage: float, label_mass: float = LABEL_MASS
) -> tuple[Abstention, list[dict[str, Any]]]:
    """The threshold with which so large a share of the queries is answered, those that share it included.

    Args:
        confidences: The first document's calibrated probability, by query.
        values: The measure, by query.
        coverage: The share to answer, above 0.
        label_mass: As of `Abstention`.

    Returns:
        The abstention; and for shares in tenths the threshold, the share it answers and the measure on those.

    Raises:
        ValueError: There are no queries, or not as many values.
    """
    if not confidences or len(confidences) != len(values):
        raise ValueError(
            f"{counted(len(confidences), 'confidence')} and {counted(len(values), 'value')} give no threshold"
        )
    falling = sorted(confidences, reverse=True)
    tried = []
    for tenths in range(_SHARES, 0, -1):
        threshold = falling[math.ceil(tenths / _SHARES * len(falling)) - 1]
        answered = [value for sure, value in zip(confidences, values, strict=True) if sure >= threshold]
        tried.append({"probability": threshold, "coverage": len(answered) / len(values), "value": fmean(answered)})
    chosen = falling[max(0, math.ceil(coverage * len(falling) - 1e-9) - 1)]
    return Abstention(chosen, label_mass), tried
