"""The intervals hold the mean, shrink with more queries, and hold the truth about as often as they say."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from interank.evaluation.significance import Interval, difference_interval, mean_interval


def drawn(count: int, seed: int) -> list[float]:
    source = random.Random(seed)
    return [source.random() for _ in range(count)]


def width(interval: Interval) -> float:
    return interval.high - interval.low


@pytest.mark.parametrize("count", [2, 7, 43, 400])
def test_the_interval_holds_the_mean(count: int) -> None:
    values = drawn(count, seed=count)
    found = mean_interval(values, seed=0)
    assert found.mean == pytest.approx(fmean(values))
    assert min(values) <= found.low < found.mean < found.high <= max(values)


def test_the_interval_shrinks_as_the_root_of_the_number_of_queries() -> None:
    few, many = (width(mean_interval(drawn(count, seed=1), seed=0)) for count in (40, 4 * 4 * 40))
    assert few / many == pytest.approx(4, rel=0.2)


def test_it_is_as_wide_as_the_standard_error_tells() -> None:
    # Of a fair coin's 100 throws: 1.96 * sqrt(0.25 / 100) to each side, in steps of 0.01.
    found = mean_interval([0.0, 1.0] * 50, seed=0)
    assert found.low == pytest.approx(0.402, abs=0.011)
    assert found.high == pytest.approx(0.598, abs=0.011)


def test_equal_seeds_give_equal_intervals_and_other_seeds_others() -> None:
    values = drawn(50, seed=2)
    assert mean_interval(values, seed=5) == mean_interval(values, seed=5)
    assert mean_interval(values, seed=5) != mean_interval(values, seed=6)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -0.3])
def test_equal_values_leave_nothing_open(value: float) -> None:
    found = mean_interval([value] * 30, seed=0)
    assert [found.mean, found.low, found.high] == pytest.approx([value] * 3)


def test_one_query_tells_no_more_than_itself() -> None:
    assert mean_interval([0.25], seed=0) == Interval(0.25, 0.25, 0.25)


def test_no_queries_have_no_mean() -> None:
    with pytest.raises(ValueError, match="no queries"):
        mean_interval([], seed=0)


def test_the_difference_is_paired_by_query() -> None:
    theirs = drawn(60, seed=3)
    ours = [value + 0.05 for value in theirs]
    found = difference_interval(ours, theirs, seed=0)
    assert [found.mean, found.low, found.high] == pytest.approx([0.05] * 3)
    # The same values against other queries: the mean is the same, the certainty is gone.
    unpaired = difference_interval(ours, theirs[1:] + theirs[:1], seed=0)
    assert unpaired.mean == pytest.approx(0.05)
    assert unpaired.low < 0 < unpaired.high


def test_the_difference_is_ours_minus_theirs() -> None:
    assert difference_interval([1.0, 1.0], [0.25, 0.75], seed=0).mean == pytest.approx(0.5)
    assert difference_interval([0.25, 0.75], [1.0, 1.0], seed=0).mean == pytest.approx(-0.5)


def test_a_difference_of_unequal_queries_is_refused() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        difference_interval([1.0, 0.0], [1.0], seed=0)


def test_the_truth_is_inside_about_95_times_in_100() -> None:
    source, trials = random.Random(4), 200
    inside = 0
    for trial in range(trials):
        found = mean_interval([source.gauss(0.4, 0.2) for _ in range(40)], seed=trial)
        inside += found.low <= 0.4 <= found.high
    # Three standard errors of 200 trials at 0.95 are 0.046.
    assert inside / trials == pytest.approx(0.95, abs=0.046)
