"""The mapping of labels on any scale to the grades 0, 1 and 2: by a known scale, or by given thresholds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from interank import plain_data
from interank.errors import InputError
from interank.tables import values
from interank.types import Relevance

_WORDS = {
    **dict.fromkeys(("irrelevant", "not relevant", "non-relevant", "negative", "bad"), 0.0),
    **dict.fromkeys(("partial", "partially relevant", "somewhat relevant", "marginal"), 1.0),
    **dict.fromkeys(("relevant", "highly relevant", "positive", "good"), 2.0),
}
# Whole labels up to this are relevance grades like TREC's; for larger ones the thresholds have to be given.
_LARGEST_KNOWN = 3


def label(value: Any) -> float | None:
    """Convert a label to a number, from a number, true or false, or a word for relevance; None for a spelled-out null.

    Raises:
        ValueError: The value is none of these.
    """
    if isinstance(value, str):
        if (grade := _word(value)) is not None:
            return grade
        for read in (values.number, values.truth):
            with suppress(ValueError):
                number = read(value)
                return None if number is None else float(number)
        raise ValueError(
            f"{plain_data.shown(value)} is no label; a label is a number, true or false, or a word such as relevant"
        )
    return values.number(value)


def is_partial(value: Any) -> bool:
    """Whether a label is a word for grade 1, so that 1 cannot be the highest grade."""
    return isinstance(value, str) and _word(value) == 1


def _word(value: str) -> float | None:
    return _WORDS.get(" ".join(value.lower().replace("_", " ").split()))


@dataclass(frozen=True, slots=True)
class Scale:
    """The least labels of grade 1 (`low`) and of grade 2 (`high`)."""

    low: float
    high: float
    by: str = "by the scale of the labels"
    """The origin of the thresholds, for a manifest."""

    def grade(self, value: float) -> Relevance:
        """The grade of a label."""
        return Relevance((value >= self.low) + (value >= self.high))

    def sentence(self) -> str:
        """The mapping, for a manifest."""
        if self.low == self.high:
            return f"labels from {self.high:g} on are grade 2, lower ones grade 0 ({self.by})"
        return f"labels from {self.high:g} on are grade 2, from {self.low:g} on grade 1, lower ones grade 0 ({self.by})"


def scale_of(values: Iterable[float], thresholds: tuple[float, float] | None, where: str) -> Scale:
    """The scale of these labels, by the thresholds if they are given.

    Raises:
        InputError: There are no thresholds, and the labels have no known scale.
    """
    labels = sorted(values)
    if thresholds is not None:
        return Scale(*thresholds, by="by --grades")
    if all(value == math.floor(value) for value in labels) and labels[-1] <= _LARGEST_KNOWN:
        return Scale(1, 1) if labels[-1] <= 1 else Scale(1, 2)
    quarters = [labels[0]] * 3 if len(labels) < 2 else statistics.quantiles(labels, n=4, method="inclusive")
    raise InputError(
        f"{where}: the labels go from {labels[0]:g} to {labels[-1]:g} (a quarter below {quarters[0]:.4g}, half below "
        f"{quarters[1]:.4g}, three quarters below {quarters[2]:.4g}), and their grades are not known; give "
        f"--grades LOW,HIGH: labels from LOW on are grade 1, from HIGH on grade 2, for example "
        f"--grades={quarters[1]:.4g},{quarters[2]:.4g}"
    )


def agreed(labels: Sequence[float]) -> float:
    """One label for a pair that has several: the median, or the lower of the two in the middle."""
    return statistics.median_low(labels)
