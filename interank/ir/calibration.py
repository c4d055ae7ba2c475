"""Whether a model's probabilities mean what they say: expected calibration error, reliability, risk and coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

BINS = 10


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The predictions from `low` up to `high`: how many, their mean, and the share that came true."""

    low: float
    high: float
    count: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far predicted and observed shares lie apart, over `count` documents."""

    expected_error: float
    """Guo et al., ICML 2017: the bins' distance of predicted and observed share, weighted by their counts."""
    brier: float
    """The mean squared distance of prediction and truth."""
    base_rate: float
    """The share that is relevant; who always predicted it would have an expected error of 0."""
    count: int
    bins: tuple[ReliabilityBin, ...]
    """Those of the ten equally wide bins that hold a prediction."""


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """What abstaining on the least confident queries would save: risk is 1 minus the mean of the measure."""

    area: float
    """The mean risk over all coverages (El-Yaniv and Wiener, JMLR 2010); lower is better."""
    area_at_random: float
    """What confidence that tells nothing would give."""
    area_at_best: float
    """What knowing the scores would give."""
    risks: tuple[float, ...]
    """The risk on the first 1, 2, ... n queries, most confident first."""


def probability_of_relevance(probabilities: Sequence[float]) -> float:
    """The expected grade as a share of the highest: p1 / 2 + p2 of the three grades' probabilities."""
    return probabilities[1] / 2 + probabilities[2]


def calibration(predicted: Sequence[float], is_relevant: Sequence[bool]) -> Calibration:
    """Compare predicted probabilities with what the qrels say of the same documents.

    Raises:
        ValueError: There are no predictions, or not as many truths.
    """
    pairs = list(zip(predicted, is_relevant, strict=True))
    if not pairs:
        raise ValueError("no predictions to compare with the truth")
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for probability, truth in pairs:
        bins[min(int(probability * BINS), BINS - 1)].append((probability, truth))
    filled = tuple(
        ReliabilityBin(
            place / BINS, (place + 1) / BINS, len(held), fmean(p for p, _ in held), fmean(truth for _, truth in held)
        )
        for place, held in enumerate(bins)
        if held
    )
    error = sum(item.count * abs(item.predicted - item.observed) for item in filled) / len(pairs)
    brier = fmean((probability - truth) ** 2 for probability, truth in pairs)
    return Calibration(error, brier, fmean(truth for _, truth in pairs), len(pairs), filled)


def risk_coverage(confidences: Sequence[float], values: Sequence[float]) -> RiskCoverage:
    """Order queries by confidence, ties in the order given, and see what the measure is on the first of them.

    Raises:
        ValueError: There are no queries, or not as many values.
    """
    pairs = list(zip(confidences, values, strict=True))
    if not pairs:
        raise ValueError("no queries to order by confidence")
    risks = _risks([value for _, value in sorted(pairs, key=lambda pair: -pair[0])])
    best = _risks(sorted(values, reverse=True))
    return RiskCoverage(fmean(risks), 1 - fmean(values), fmean(best), risks)


def _risks(values: Sequence[float]) -> tuple[float, ...]:
    risks, total = [], 0.0
    for count, value in enumerate(values, start=1):
        total += value
        risks.append(1 - total / count)
    return tuple(risks)
