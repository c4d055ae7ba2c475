"""From a reranker's score to the probability that the judges of one benchmark would call the document relevant.

Fitted on first-stage candidates as they are met, so that their share of relevant documents is in it. It never ranks:
isotonic steps make ties.
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
# A score that tells nothing, or the wrong way round, ends at the one; data that it parts without error at the other.
_TEMPERATURES = (0.02, 200.0)
_LARGEST_BIAS = 50.0


@dataclass(frozen=True, slots=True)
class Temperature:
    """The logistic function of score / temperature + bias: the bias takes in how rare relevant candidates are."""

    temperature: float
    bias: float

    def probability(self, score: float) -> float:
        """How probable it is that a document of this score is relevant."""
        return _logistic(score / self.temperature + self.bias)


@dataclass(frozen=True, slots=True)
class Isotonic:
    """The best fit that rises with the score: its corners, and straight lines between them."""

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
    """The calibrator whose probabilities lie closest to the truth on queries that it was not fitted on.

    Returns:
        It, fitted on all queries; and by method the Brier score over the held-out fifths, where there was a choice.

    Raises:
        InputError: All candidates are relevant, or none is.
    """
    pairs = [pair for query in queries for pair in query]
    relevant = sum(truth for _, truth in pairs)
    if relevant in (0, len(pairs)):
        raise InputError(
            f"{relevant} of the {counted(len(pairs), 'candidate')} are relevant, and both kinds are needed to "
            "calibrate on; take more queries or a deeper first stage, or fit without calibration"
        )
    folds = [[pair for query in queries[number::_FOLDS] for pair in query] for number in range(_FOLDS)]
    usable = len(methods) > 1 and all(0 < sum(t for _, t in fold) < len(fold) for fold in folds)
    held_out: dict[str, float] = {method: _held_out(method, folds) for method in methods} if usable else {}
    # Two numbers are harder to get wrong than a staircase: it has to be better.
    chosen: str = min(held_out, key=held_out.__getitem__) if held_out else methods[0]
    fitted: Calibrator = _FITTERS[chosen](pairs)
    return fitted, held_out


def calibrator_row(calibrator: Calibrator) -> dict[str, Any]:
    """It as plain data, which `calibrator_of` reads."""
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
    """By maximum likelihood with Platt's targets (1999), which keep a perfect split from certainty."""
    import numpy
    from scipy.optimize import minimize

    scores = numpy.array([score for score, _ in pairs], dtype=numpy.float64)
    truth = numpy.array([truth for _, truth in pairs], dtype=bool)
    relevant = int(truth.sum())
    targets = numpy.where(truth, (relevant + 1) / (relevant + 2), 1 / (len(pairs) - relevant + 2))

    def loss(given: Any) -> tuple[float, Any]:
        logits = scores * given[0] + given[1]
        chances = 0.5 * (1 + numpy.tanh(logits / 2))
        error = (chances - targets) / len(pairs)
        return float((numpy.logaddexp(0, logits) - targets * logits).mean()), numpy.array([error @ scores, error.sum()])

    low, high = _TEMPERATURES
    bounds = [(1 / high, 1 / low), (-_LARGEST_BIAS, _LARGEST_BIAS)]
    slope, bias = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=bounds).x
    return Temperature(1 / float(slope), float(bias))


def _isotonic(pairs: Sequence[tuple[float, bool]]) -> Isotonic:
    """Isotonic regression (scipy's), never quite certain: so many pairs do not rule out the next one."""
    import numpy
    from scipy.optimize import isotonic_regression

    scores, places, counts = numpy.unique(
        numpy.array([score for score, _ in pairs]), return_inverse=True, return_counts=True
    )
    shares = numpy.bincount(places.ravel(), weights=[float(truth) for _, truth in pairs]) / counts
    doubt = 1 / (len(pairs) + 2)
    fitted = isotonic_regression(shares, weights=counts).x.clip(doubt, 1 - doubt)
    # Of a step its two ends tell all.
    edge = numpy.diff(fitted) != 0
    corner = numpy.append(True, edge) | numpy.append(edge, True)
    return Isotonic(tuple(map(float, scores[corner])), tuple(map(float, fitted[corner])))


_FITTERS: dict[str, Any] = {"temperature": _temperature, "isotonic": _isotonic}


def _logistic(logit: float) -> float:
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1 + odds)
