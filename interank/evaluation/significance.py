"""Bootstrap confidence intervals of means over queries, and of paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

RESAMPLES = 10_000
_BLOCK = 500
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95% percentile bootstrap interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float], *, seed: int) -> Interval:
    """The mean of per-query values and how far it moves when the queries are resampled.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("no queries, so there is no mean")
    array = numpy.asarray(values, dtype=numpy.float64)
    generator = numpy.random.default_rng(seed)
    shares = numpy.full(len(array), 1 / len(array))
    # How often each query is drawn, shape (block, queries); in blocks, for thousands of queries are a gigabyte at once.
    blocks = [generator.multinomial(len(array), shares, size=_BLOCK) @ array for _ in range(RESAMPLES // _BLOCK)]
    means = numpy.concatenate(blocks) / len(array)
    low, high = numpy.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(float(array.mean()), float(low), float(high))


def difference_interval(ours: Sequence[float], theirs: Sequence[float], *, seed: int) -> Interval:
    """The mean of the paired per-query differences, ours minus theirs; both in the same order of queries."""
    return mean_interval([a - b for a, b in zip(ours, theirs, strict=True)], seed=seed)
