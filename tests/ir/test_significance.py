"""Intervals hold the mean, shrink with more queries and hold the truth as often as they say; p-values are fair."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from statistics import fmean

import numpy
import pytest

from interank.ir.significance import Interval, Sample, holm


def drawn(count: int, seed: int) -> list[float]:
    source = random.Random(seed)
    return [source.random() for _ in range(count)]


def interval(values: Sequence[float], *, seed: int = 0) -> Interval:
    (found,) = Sample([len(values)], seed=seed).intervals(numpy.array(values)[:, None])
    return found


def p_value(differences: Sequence[float], *, sizes: Sequence[int] = (), seed: int = 0) -> float:
    (found,) = Sample(sizes or [len(differences)], seed=seed).p_values(numpy.array(differences)[:, None])
    return found


def width(found: Interval) -> float:
    return found.high - found.low


@pytest.mark.parametrize("count", [2, 7, 43, 400])
def test_the_interval_holds_the_mean(count: int) -> None:
    values = drawn(count, seed=count)
    found = interval(values)
    assert found.mean == pytest.approx(fmean(values))
    assert min(values) <= found.low < found.mean < found.high <= max(values)


def test_the_interval_shrinks_as_the_root_of_the_number_of_queries() -> None:
    few, many = (width(interval(drawn(count, seed=1))) for count in (40, 4 * 4 * 40))
    assert few / many == pytest.approx(4, rel=0.2)


def test_it_is_as_wide_as_the_standard_error_tells() -> None:
    # Of a fair coin's 100 throws: 1.96 * sqrt(0.25 / 100) to each side, in steps of 0.01.
    found = interval([0.0, 1.0] * 50)
    assert found.low == pytest.approx(0.402, abs=0.011)
    assert found.high == pytest.approx(0.598, abs=0.011)


def test_equal_seeds_give_equal_intervals_and_other_seeds_others() -> None:
    values = drawn(50, seed=2)
    assert interval(values, seed=5) == interval(values, seed=5)
    assert interval(values, seed=5) != interval(values, seed=6)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -0.3])
def test_equal_values_leave_nothing_open(value: float) -> None:
    found = interval([value] * 30)
    assert [found.mean, found.low, found.high] == pytest.approx([value] * 3)


def test_one_query_tells_no_more_than_itself() -> None:
    assert interval([0.25]) == Interval(0.25, 0.25, 0.25)


@pytest.mark.parametrize("sizes", [[], [3, 0]])
def test_no_queries_have_no_mean(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="no queries"):
        Sample(sizes, seed=0)


def test_values_of_other_queries_are_refused() -> None:
    with pytest.raises(ValueError, match=r"do not have a row for each query \(3\)"):
        Sample([1, 2], seed=0).means(numpy.zeros((4, 1)))


def test_the_truth_is_inside_about_95_times_in_100() -> None:
    source, trials = random.Random(4), 200
    inside = 0
    for trial in range(trials):
        found = interval([source.gauss(0.4, 0.2) for _ in range(40)], seed=trial)
        inside += found.low <= 0.4 <= found.high
    # Three standard errors of 200 trials at 0.95 are 0.046.
    assert inside / trials == pytest.approx(0.95, abs=0.046)


def test_the_mean_is_that_of_the_tasks_and_a_small_task_s_queries_weigh_more() -> None:
    sample = Sample([2, 8], seed=0)
    values = numpy.array([1.0, 0.0, *[0.25] * 8])[:, None]
    assert sample.means(values).tolist() == pytest.approx([(0.5 + 0.25) / 2])
    (found,) = sample.intervals(values)
    # Only the first task varies: its mean is 0, 0.5 or 1, so the whole is 0.125, 0.375 or 0.625.
    assert [found.low, found.mean, found.high] == pytest.approx([0.125, 0.375, 0.625])


def test_queries_are_resampled_within_their_task() -> None:
    # Tasks that differ in level, not inside: resampling over all of them would see a spread that is none.
    (found,) = Sample([20, 20], seed=0).intervals(numpy.array([0.2] * 20 + [0.8] * 20)[:, None])
    assert [found.low, found.high] == pytest.approx([0.5, 0.5])


def test_columns_are_judged_by_the_same_resamples() -> None:
    values = numpy.array([drawn(30, 7), drawn(30, 8)]).T
    one, two, difference = Sample([30], seed=3).intervals(
        numpy.column_stack([values, values[:, 0] - values[:, 1] + values[:, 1]])
    )
    assert one != two
    assert [difference.low, difference.high] == pytest.approx([one.low, one.high])


def test_few_queries_are_exchanged_in_every_way() -> None:
    differences = [0.3, -0.1, 0.25, 0.0, 0.05, 0.4]
    observed = abs(sum(differences))
    moved = [value for value in differences if value]
    sums = [sum(s * d for s, d in zip(signs, moved, strict=True)) for signs in itertools.product((1, -1), repeat=5)]
    assert p_value(differences) == pytest.approx(sum(abs(s) >= observed - 1e-12 for s in sums) / 32)


def test_the_sampled_test_agrees_with_the_normal_approximation() -> None:
    differences = numpy.random.default_rng(5).normal(0.02, 0.2, 400)
    z = differences.sum() / numpy.sqrt((differences**2).sum())
    from statistics import NormalDist

    assert p_value(differences.tolist()) == pytest.approx(2 * (1 - NormalDist().cdf(abs(z))), abs=0.015)


def test_equal_systems_do_not_differ() -> None:
    assert p_value([0.0] * 30) == 1.0


def test_a_difference_in_every_query_is_as_unlikely_as_can_be() -> None:
    assert p_value([0.1] * 400) == pytest.approx(1 / 10_001)
    assert p_value([0.1] * 5) == pytest.approx(2 / 32)


def test_the_test_is_two_sided_and_seeded() -> None:
    differences = [value - 0.45 for value in drawn(60, seed=9)]
    assert p_value(differences) == p_value([-value for value in differences])
    assert p_value(differences, seed=1) != p_value(differences, seed=2)


def test_tasks_weigh_alike_in_the_test_too() -> None:
    # The small task's two gains outweigh the large one's six losses of the same size.
    differences = [0.5, 0.5, *[-0.1] * 6]
    weighted = [0.125, 0.125, *[-0.1 / 12] * 6]
    sums = [sum(s * d for s, d in zip(signs, weighted, strict=True)) for signs in itertools.product((1, -1), repeat=8)]
    expected = sum(abs(s) >= abs(sum(weighted)) - 1e-12 for s in sums) / 256
    assert p_value(differences, sizes=[2, 6]) == pytest.approx(expected)


def test_p_is_below_5_in_100_about_5_times_in_100_where_nothing_differs() -> None:
    source, trials = random.Random(6), 300
    low = sum(p_value([source.gauss(0, 1) for _ in range(25)], seed=trial) < 0.05 for trial in range(trials))
    # Three standard errors of 300 trials at 0.05 are 0.038.
    assert low / trials == pytest.approx(0.05, abs=0.038)


def test_holm_s_correction_by_hand() -> None:
    # Holm 1979: sorted 0.01 * 4, 0.02 * 3, 0.03 * 2 -> raised to the one before, 0.2 * 1.
    assert holm([0.03, 0.01, 0.2, 0.02]) == pytest.approx([0.06, 0.04, 0.2, 0.06])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.7, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
