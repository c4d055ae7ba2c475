"""Bootstrap intervals and paired randomisation tests of means over tasks and queries."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

Values = NDArray[numpy.float64]

RESAMPLES = 10_000
_BLOCK = 500
_LEVEL = 0.95
# Tolerance for sums of the same terms in another order, which differ in their last digits.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95% percentile bootstrap interval."""

    mean: float
    low: float
    high: float


class Sample:
    """The evaluated queries, by task. Every mean is the mean of the tasks' means, as BRIGHT reports it.

    Values are arrays of shape (queries, columns), with the tasks' queries one after the other. All columns share
    the same resamples.
    """

    def __init__(self, sizes: Sequence[int], *, seed: int) -> None:
        """Take the number of queries of each task.

        Raises:
            ValueError: There is no task, or a task has no queries.
        """
        if not sizes or min(sizes) < 1:
            raise ValueError("no queries, so there is no mean")
        self._sizes = tuple(sizes)
        self.seed = seed
        self._weights: Values = numpy.concatenate([numpy.full(size, 1 / (size * len(sizes))) for size in sizes])

    def means(self, values: Values) -> Values:
        """The mean of the task means of each column, shape (columns,)."""
        return self._weights @ self._checked(values)

    def intervals(self, values: Values) -> list[Interval]:
        """Each column's mean with its bootstrap interval; queries are resampled within their tasks."""
        weighted = self._weights[:, None] * self._checked(values)
        resampled = numpy.concatenate([counts @ weighted for counts in self._resamples()])
        bounds = numpy.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
        means = self.means(values)
        return [Interval(float(m), float(low), float(high)) for m, low, high in zip(means, *bounds, strict=True)]

    def bounds(self, values: Values, statistic: Callable[[Values], Values]) -> list[tuple[float, float]]:
        """Bootstrap intervals of statistics of the columns' sums; queries are resampled within their tasks.

        Args:
            values: Shape (queries, columns).
            statistic: Takes sums of shape (resamples, columns), returns shape (resamples, statistics).

        Returns:
            The ends of each statistic's 95% percentile interval; resamples in which it is NaN are left out.
        """
        checked = self._checked(values)
        statistics = statistic(numpy.concatenate([counts @ checked for counts in self._resamples()]))
        return [_ends(column[~numpy.isnan(column)]) for column in statistics.T]

    def p_values(self, differences: Values) -> list[float]:
        """Two-sided p-value of each column of paired differences, by Fisher's randomisation test of a mean of 0.

        The test exchanges each query's two systems or not (Smucker et al., CIKM 2007): in all ways where these are
        no more than the resamples, else in 10,000 random ways plus the observed one.
        """
        weighted = self._weights[:, None] * self._checked(differences)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(self._p_value, weighted.T))

    def _p_value(self, weighted: Values) -> float:
        # Exchanging two equal systems changes nothing.
        unequal = weighted[weighted != 0]
        if not len(unequal):
            return 1.0
        if 2 ** len(unequal) <= RESAMPLES:
            exchanges = (numpy.arange(2 ** len(unequal))[:, None] >> numpy.arange(len(unequal))) & 1
            return _as_extreme(unequal, exchanges) / len(exchanges)
        generator = numpy.random.default_rng(self.seed)
        extreme = 0
        for _ in range(RESAMPLES // _BLOCK):
            extreme += _as_extreme(unequal, generator.integers(0, 2, (_BLOCK, len(unequal)), dtype=numpy.int8))
        return (extreme + 1) / (RESAMPLES + 1)

    def _resamples(self) -> Iterator[Values]:
        """How often each query is drawn, in blocks of shape (block, queries): all at once would be a gigabyte."""
        generator = numpy.random.default_rng(self.seed)
        rows = numpy.arange(_BLOCK)[:, None]
        for _ in range(RESAMPLES // _BLOCK):
            drawn = [(generator.integers(0, size, (_BLOCK, size)) + rows * size, size) for size in self._sizes]
            counts = [numpy.bincount(i.ravel(), minlength=_BLOCK * n).reshape(_BLOCK, n) for i, n in drawn]
            yield numpy.concatenate(counts, axis=1).astype(numpy.float64)

    def _checked(self, values: Values) -> Values:
        if values.ndim != 2 or len(values) != len(self._weights):
            raise ValueError(f"values of shape {values.shape} do not have a row for each query ({len(self._weights)})")
        return values


def _as_extreme(differences: Values, exchanges: NDArray[numpy.integer[Any]]) -> int:
    """The number of exchanges (rows of 0 and 1) whose sum is at least as far from 0 as the observed sum."""
    total = differences.sum()
    # Not @: the threads of BLAS would compete with ours, of which each has a column.
    sums = total - 2.0 * numpy.einsum("ij,j->i", exchanges.astype(numpy.float64), differences)
    return int(numpy.count_nonzero(numpy.abs(sums) >= abs(total) - _ROUNDING))


def _ends(values: Values) -> tuple[float, float]:
    if not len(values):
        return math.nan, math.nan
    low, high = numpy.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for multiple tests by Holm's step-down method, which allows dependent tests."""
    corrected = [0.0] * len(p_values)
    floor = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: (p_values[i], i))):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = floor
    return corrected
