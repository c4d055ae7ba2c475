"""Calibrators: from a reranker's score to the probability that a benchmark's judges would call the document relevant.

A calibrator is fitted on all first-stage candidates, so it depends on their share of relevant documents. It never
ranks: isotonic steps make ties.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, TypeAlias

from interank.errors import InputError
from interank.wording import counted

CalibratorMethod = Literal["temperature", "isotonic"]
METHODS: tuple[CalibratorMethod, ...] = ("temperature", "isotonic")
_FOLDS = 5
# Bounds: useless or inverted scores end at the highest temperature, perfectly separating ones at the lowest.
_TEMPERATURES = (0.02, 200.0)
_LARGEST_BIAS = 50.0


@dataclass(frozen=True, slots=True)
class Temperature:
    """The logistic function of score / temperature + bias; the bias adapts to how rare relevant candidates are."""

    temperature: float
    bias: float

    def probability(self, score: float) -> float:
        """How probable it is that a document of this score is relevant."""
        return _logistic(score / self.temperature + self.bias)


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Isotonic regression: its corner points, with linear interpolation between them."""

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def probability(self, score: float) -> float:
        """How probable it is that a document of this score is relevant."""
        place = bisect_right(self.scores, score)
        if place in (0, len(self.scores)):
            return self.probabilities[min(place, len(self.scores) - 1)]
        share = (score - self.scores[place - 1]) / (self.scores[place] - self.scores[place - 1])
        low, high = self.probabilities[place - 1], self.probabilities[place]
        return low + share * (high - low)


Calibrator: TypeAlias = Temperature | Isotonic

Judged: TypeAlias = Sequence[tuple[float, bool]]
"""A query's candidates: their scores, and whether they are relevant."""


def fit_calibrator(
    queries: Sequence[Judged], methods: Sequence[CalibratorMethod] = METHODS
) -> tuple[Calibrator, dict[str, float]]:
    """The calibrator with the lowest Brier score in cross-validation over queries.

    Returns:
        The calibrator, fitted on all queries; and each method's Brier score over five folds, empty without a choice.

    Raises:
        InputError: All candidates are relevant, or none is.
    """
    pairs = [pair for query in queries for pair in query]
    relevant = sum(truth for _, truth in pairs)
    if relevant in (0, len(pairs)):
        raise InputError(
            f"{relevant} of the {counted(len(pairs), 'candidate')} are relevant, and calibration needs both relevant "
            "and irrelevant ones; take more queries or a deeper first stage, or fit without calibration"
        )
    folds = [[pair for query in queries[number::_FOLDS] for pair in query] for number in range(_FOLDS)]
    usable = len(methods) > 1 and all(0 < sum(t for _, t in fold) < len(fold) for fold in folds)
    held_out: dict[str, float] = {method: _held_out(method, folds) for method in methods} if usable else {}
    # On a tie the first method wins, which is temperature: its two parameters overfit less than isotonic steps.
    chosen: str = min(held_out, key=held_out.__getitem__) if held_out else methods[0]
    fitted: Calibrator = _FITTERS[chosen](pairs)
    return fitted, held_out


def calibrator_row(calibrator: Calibrator) -> dict[str, Any]:
    """The calibrator as plain data, which `calibrator_of` reads."""
    if isinstance(calibrator, Temperature):
        return {"method": "temperature", "temperature": calibrator.temperature, "bias": calibrator.bias}
    return {
        "method": "isotonic",
        "scores": list(calibrator.scores),
        "probabilities": list(calibrator.probabilities),
    }


def calibrator_of(row: dict[str, Any]) -> Calibrator:
    """The calibrator of a row."""
    if row["method"] == "temperature":
        return Temperature(float(row["temperature"]), float(row["bias"]))
    return Isotonic(tuple(map(float, row["scores"])), tuple(map(float, row["probabilities"])))


def _held_out(method: CalibratorMethod, folds: Sequence[Sequence[tuple[float, bool]]]) -> float:
    errors = []
    for number, fold in enumerate(folds):
        others = [pair for other, pairs in enumerate(folds) if other != number for pair in pairs]
        fitted = _FITTERS[method](others)
        errors += [(fitted.probability(score) - truth) ** 2 for score, truth in fold]
    return fmean(errors)


def _temperature(pairs: Sequence[tuple[float, bool]]) -> Temperature:
    """Fit by maximum likelihood with Platt's targets (1999), which keep perfectly separated data from certainty."""
    import numpy
    from scipy.optimize import minimize

    scores = numpy.array([score for score, _ in pairs], dtype=numpy.float64)
    truth = numpy.array([truth for _, truth in pairs], dtype=bool)
    relevant = int(truth.sum())
    targets = numpy.where(truth, (relevant + 1) / (relevant + 2), 1 / (len(pairs) - relevant + 2))

    def loss(parameters: Any) -> tuple[float, Any]:
        logits = scores * parameters[0] + parameters[1]
        chances = 0.5 * (1 + numpy.tanh(logits / 2))
        error = (chances - targets) / len(pairs)
        return float((numpy.logaddexp(0, logits) - targets * logits).mean()), numpy.array([error @ scores, error.sum()])

    low, high = _TEMPERATURES
    bounds = [(1 / high, 1 / low), (-_LARGEST_BIAS, _LARGEST_BIAS)]
    slope, bias = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=bounds).x
    return Temperature(1 / float(slope), float(bias))


def _isotonic(pairs: Sequence[tuple[float, bool]]) -> Isotonic:
    """Fit scipy's isotonic regression, clipped away from 0 and 1 by an amount that shrinks with the number of pairs."""
    import numpy
    from scipy.optimize import isotonic_regression

    scores, places, counts = numpy.unique(
        numpy.array([score for score, _ in pairs]), return_inverse=True, return_counts=True
    )
    shares = numpy.bincount(places.ravel(), weights=[float(truth) for _, truth in pairs]) / counts
    doubt = 1 / (len(pairs) + 2)
    fitted = isotonic_regression(shares, weights=counts).x.clip(doubt, 1 - doubt)
    # Keep only the two ends of each step.
    edge = numpy.diff(fitted) != 0
    corner = numpy.append(True, edge) | numpy.append(edge, True)
    return Isotonic(tuple(map(float, scores[corner])), tuple(map(float, fitted[corner])))


_FITTERS: dict[str, Any] = {"temperature": _temperature, "isotonic": _isotonic}


def _logistic(logit: float) -> float:
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1 + odds)
