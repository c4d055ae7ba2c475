"""Labels of any scale as the grades 0, 1 and 2: where the scale says it, and else where it is told."""

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
# Labels up to here are a scale of relevance as TREC's are; beyond it one has to be told.
_LARGEST_KNOWN = 3


def label(value: Any) -> float | None:
    """A label as a number: a number, true or false, or a word for relevance; None of a null that is spelled out.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(value, str):
        if (said := _word(value)) is not None:
            return said
        for read in (values.number, values.truth):
            with suppress(ValueError):
                found = read(value)
                return None if found is None else float(found)
        raise ValueError(
            f"{plain_data.shown(value)} is no label, which is a number, true or false, or a word such as relevant"
        )
    return values.number(value)


def is_partial(value: Any) -> bool:
    """Whether a label is a word for grade 1, so that 1 is not the best there is."""
    return isinstance(value, str) and _word(value) == 1


def _word(value: str) -> float | None:
    return _WORDS.get(" ".join(value.lower().replace("_", " ").split()))


@dataclass(frozen=True, slots=True)
class Scale:
    """From which label on a grade is 1, and from which on 2."""

    low: float
    high: float
    by: str = "by the scale of the labels"
    """What says so."""

    def grade(self, value: float) -> Relevance:
        """The grade of a label."""
        return Relevance((value >= self.low) + (value >= self.high))

    def sentence(self) -> str:
        """The mapping, for a manifest."""
        if self.low == self.high:
            return f"labels from {self.high:g} on are grade 2, lower ones grade 0 ({self.by})"
        return f"labels from {self.high:g} on are grade 2, from {self.low:g} on grade 1, lower ones grade 0 ({self.by})"


def scale_of(found: Iterable[float], told: tuple[float, float] | None, where: str) -> Scale:
    """The scale of these labels.

    Raises:
        InputError: Nothing says which label is which grade.
    """
    labels = sorted(found)
    if told is not None:
        return Scale(*told, by="as told")
    if all(value == math.floor(value) for value in labels) and labels[-1] <= _LARGEST_KNOWN:
        return Scale(1, 1) if labels[-1] <= 1 else Scale(1, 2)
    quarters = [labels[0]] * 3 if len(labels) < 2 else statistics.quantiles(labels, n=4, method="inclusive")
    raise InputError(
        f"{where}: the labels go from {labels[0]:g} to {labels[-1]:g} (a quarter below {quarters[0]:.4g}, half below "
        f"{quarters[1]:.4g}, three quarters below {quarters[2]:.4g}), and nothing says which of them are which grade; "
        f"give --grades LOW,HIGH: labels from LOW on are grade 1, from HIGH on grade 2, for example "
        f"--grades={quarters[1]:.4g},{quarters[2]:.4g}"
    )


def agreed(found: Sequence[float]) -> float:
    """One label for a pair that has several: the median, of two in the middle the lower."""
    return statistics.median_low(found)
