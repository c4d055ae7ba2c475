"""Calibrators find the truth that made the data, hold on data they have not seen, and keep the score's order."""

from __future__ import annotations

import math
import random

import pytest

from interank.errors import InputError
from interank.ir.calibration import calibration
from interank.reranking.fitting import Isotonic, Temperature, fit_calibrator
from interank.reranking.fitting.calibrator import Calibrator, calibrator_of, calibrator_row


def logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def judged(seed: int, chance: object, *, queries: int = 400, depth: int = 10) -> list[list[tuple[float, bool]]]:
    rng = random.Random(seed)
    found = []
    for _ in range(queries):
        scores = [rng.gauss(0, 3) for _ in range(depth)]
        found.append([(score, rng.random() < chance(score)) for score in scores])  # type: ignore[operator]
    return found


def smooth(score: float) -> float:
    return logistic(score / 2 - 3)


def stairs(score: float) -> float:
    return 0.02 if score < -1 else 0.3 if score < 4 else 0.9


def error(fitted: Calibrator, queries: list[list[tuple[float, bool]]]) -> float:
    pairs = [pair for query in queries for pair in query]
    return calibration([fitted.probability(score) for score, _ in pairs], [truth for _, truth in pairs]).expected_error


def test_the_temperature_and_the_bias_that_made_the_data_are_found() -> None:
    fitted, _ = fit_calibrator(judged(1, smooth), ["temperature"])
    assert isinstance(fitted, Temperature)
    assert fitted.temperature == pytest.approx(2, rel=0.1)
    assert fitted.bias == pytest.approx(-3, rel=0.1)


@pytest.mark.parametrize(("truth", "expected"), [(smooth, Temperature), (stairs, Isotonic)])
def test_what_holds_better_on_held_out_queries_is_taken(truth: object, expected: type) -> None:
    fitted, held_out = fit_calibrator(judged(2, truth))
    assert isinstance(fitted, expected)
    assert set(held_out) == {"temperature", "isotonic"}
    fresh = judged(3, truth)
    raw = [logistic(score) for query in fresh for score, _ in query]
    before = calibration(raw, [t for query in fresh for _, t in query]).expected_error
    assert error(fitted, fresh) < 0.04 < before / 3


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_probabilities_rise_with_the_score_and_are_never_certain(method: str) -> None:
    queries = judged(4, smooth, queries=30)
    fitted, _ = fit_calibrator(queries, [method])  # type: ignore[list-item]
    found = [fitted.probability(score / 10) for score in range(-500, 500)]
    assert found == sorted(found)
    assert 0 < found[0] < found[-1] < 1


def test_scores_that_part_all_documents_do_not_make_certainty() -> None:
    fitted, _ = fit_calibrator([[(-2.0, False), (2.0, True)]] * 20, ["temperature"])
    assert 0.5 < fitted.probability(2.0) < 1
    assert 0 < fitted.probability(-2.0) < 0.5


def test_scores_that_are_the_wrong_way_round_predict_the_base_rate() -> None:
    # Two of three documents share a score, and both of them count.
    fitted, _ = fit_calibrator([[(2.0, False), (2.0, False), (-2.0, True)]] * 20, ["isotonic"])
    assert fitted.probability(-2.0) == pytest.approx(1 / 3)
    assert fitted.probability(9.0) == pytest.approx(1 / 3)


def test_steps_by_hand() -> None:
    fitted = Isotonic((0.0, 1.0, 3.0), (0.1, 0.1, 0.5))
    assert [fitted.probability(score) for score in (-9, 0, 0.5, 1, 2, 3, 9)] == pytest.approx(
        [0.1, 0.1, 0.1, 0.1, 0.3, 0.5, 0.5]
    )


@pytest.mark.parametrize("truth", [True, False])
def test_one_kind_alone_is_refused(truth: bool) -> None:
    with pytest.raises(InputError, match="both relevant and irrelevant"):
        fit_calibrator([[(1.0, truth), (2.0, truth)]])


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_it_is_the_same_after_its_row(method: str) -> None:
    fitted, _ = fit_calibrator(judged(5, smooth, queries=20), [method])  # type: ignore[list-item]
    assert calibrator_of(calibrator_row(fitted)) == fitted
