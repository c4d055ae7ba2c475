"""What chance could have done: bootstrap intervals and paired randomisation tests of means over tasks and queries."""

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
# Sums of equal terms in another order differ in their last digits; that makes no difference larger.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95% percentile bootstrap interval."""

    mean: float
    low: float
    high: float


class Sample:
    """The evaluated queries, by task. Every mean is the mean of the tasks' means, as BRIGHT reports it.

    Values come as arrays of shape (queries, columns), the tasks' queries one after the other; all columns are
    judged by the same resamples.
    """

    def __init__(self, sizes: Sequence[int], *, seed: int) -> None:
        """Take the number of queries of each task.

        Raises:
            ValueError: There is no task, or one without queries.
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
        """Each column's mean and how far it moves when queries are resampled within their tasks."""
        weighted = self._weights[:, None] * self._checked(values)
        resampled = numpy.concatenate([counts @ weighted for counts in self._resamples()])
        bounds = numpy.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
        means = self.means(values)
        return [Interval(float(m), float(low), float(high)) for m, low, high in zip(means, *bounds, strict=True)]

    def bounds(self, values: Values, statistic: Callable[[Values], Values]) -> list[tuple[float, float]]:
        """How far what is computed of the columns' sums moves when queries are resampled within their tasks.

        Args:
            values: Shape (queries, columns).
            statistic: Takes sums of shape (resamples, columns), gives shape (resamples, statistics).

        Returns:
            The ends of each statistic's 95% percentile interval; resamples in which it is not a number are left out.
        """
        checked = self._checked(values)
        found = statistic(numpy.concatenate([counts @ checked for counts in self._resamples()]))
        return [_ends(column[~numpy.isnan(column)]) for column in found.T]

    def p_values(self, differences: Values) -> list[float]:
        """Two-sided p of each column of paired differences having a mean of 0, by Fisher's randomisation test.

        Each query's two systems are exchanged or not (Smucker et al., CIKM 2007): exactly over all exchanges
        where these are fewer than the resamples, else over 10,000 random ones, where the observed one counts too.
        """
        weighted = self._weights[:, None] * self._checked(differences)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(self._p_value, weighted.T))

    def _p_value(self, weighted: Values) -> float:
        # A query on which both are equal is the same either way.
        moved = weighted[weighted != 0]
        if not len(moved):
            return 1.0
        if 2 ** len(moved) <= RESAMPLES:
            exchanges = (numpy.arange(2 ** len(moved))[:, None] >> numpy.arange(len(moved))) & 1
            return _as_extreme(moved, exchanges) / len(exchanges)
        generator = numpy.random.default_rng(self.seed)
        extreme = 0
        for _ in range(RESAMPLES // _BLOCK):
            extreme += _as_extreme(moved, generator.integers(0, 2, (_BLOCK, len(moved)), dtype=numpy.int8))
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
            raise ValueError(
                f"values of shape {values.shape} are not one for each query, of which there are {len(self._weights)}"
            )
        return values


def _as_extreme(differences: Values, exchanges: NDArray[numpy.integer[Any]]) -> int:
    """How many of these exchanges (0 or 1, a row each) leave a sum at least as far from 0 as none does."""
    total = differences.sum()
    # Not by @: the threads that BLAS starts for it get into the way of ours, each of which has a column.
    sums = total - 2.0 * numpy.einsum("ij,j->i", exchanges.astype(numpy.float64), differences)
    return int(numpy.count_nonzero(numpy.abs(sums) >= abs(total) - _ROUNDING))


def _ends(values: Values) -> tuple[float, float]:
    if not len(values):
        return math.nan, math.nan
    low, high = numpy.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number: Holm's step-down method, which holds for dependent tests too."""
    corrected = [0.0] * len(p_values)
    least = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: (p_values[i], i))):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = least
    return corrected
