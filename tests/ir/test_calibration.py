"""Calibration by hand and at its bounds: perfect, useless and reversed predictions."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from interank.ir.calibration import calibration, probability_of_relevance, risk_coverage


def test_the_expected_error_by_hand() -> None:
    found = calibration([0.05, 0.05, 0.45, 0.95, 1.0], [False, True, True, True, False])
    # Bins: two at .05 of which half is true; one at .45, true; two at .975, half true.
    assert found.expected_error == pytest.approx((2 * 0.45 + 1 * 0.55 + 2 * 0.475) / 5)
    assert found.brier == pytest.approx(fmean([0.05**2, 0.95**2, 0.55**2, 0.05**2, 1.0]))
    assert [(item.low, item.high, item.count) for item in found.bins] == [(0.0, 0.1, 2), (0.4, 0.5, 1), (0.9, 1.0, 2)]
    assert found.bins[2].predicted == pytest.approx(0.975)
    assert found.bins[2].observed == 0.5
    assert found.base_rate == 0.6
    assert found.count == 5


def test_honest_predictions_have_no_error_and_saturated_ones_have() -> None:
    source = random.Random(1)
    honest = [source.random() for _ in range(20_000)]
    truth = [source.random() < probability for probability in honest]
    assert calibration(honest, truth).expected_error < 0.02
    # One-hot predictions that are right as often as honest ones are.
    saturated = [float(probability > 0.5) for probability in honest]
    assert calibration(saturated, truth).expected_error == pytest.approx(0.25, abs=0.02)


def test_predicting_the_base_rate_has_no_error_and_no_use() -> None:
    found = calibration([0.3] * 10, [True] * 3 + [False] * 7)
    assert found.expected_error == pytest.approx(0)
    assert found.brier == pytest.approx(0.21)


@pytest.mark.parametrize(("given", "expected"), [((1, 0, 0), 0.0), ((0, 1, 0), 0.5), ((0.2, 0.2, 0.6), 0.7)])
def test_the_probability_is_the_expected_grade_s_share(given: tuple[float, ...], expected: float) -> None:
    assert probability_of_relevance(given) == pytest.approx(expected)


def test_risk_falls_with_coverage_where_confidence_tells_something() -> None:
    found = risk_coverage([0.9, 0.1, 0.5], [1.0, 0.0, 0.5])
    assert found.risks == pytest.approx((0.0, 0.25, 0.5))
    assert found.area == pytest.approx(0.25)
    assert found.area == found.area_at_best
    assert found.area_at_random == pytest.approx(0.5)


def test_confidence_that_is_the_wrong_way_round_is_worse_than_none() -> None:
    found = risk_coverage([0.1, 0.9], [1.0, 0.0])
    assert found.risks == pytest.approx((1.0, 0.5))
    assert found.area > found.area_at_random > found.area_at_best


def test_equal_confidence_keeps_the_order() -> None:
    assert risk_coverage([0.5, 0.5], [1.0, 0.0]).risks == pytest.approx((0.0, 0.5))


def test_nothing_has_no_calibration() -> None:
    with pytest.raises(ValueError, match="no predictions"):
        calibration([], [])
    with pytest.raises(ValueError, match="no queries"):
        risk_coverage([], [])
    with pytest.raises(ValueError, match="shorter"):
        calibration([0.5, 0.5], [True])
