"""Calibration of predicted probabilities (expected error, Brier score, reliability bins), and risk by coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy

from interank.ir.significance import Values

BINS = 10


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The predictions from `low` up to `high`: their number, their mean, and the share whose document is relevant."""

    low: float
    high: float
    count: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far predicted probabilities are from observed relevance, over `count` documents."""

    expected_error: float
    """Expected calibration error (Guo et al., ICML 2017): each bin's |predicted - observed|, weighted by its count."""
    brier: float
    """The mean squared difference of prediction and truth."""
    base_rate: float
    """The share of relevant documents; predicting it for every document gives an expected error of 0."""
    count: int
    bins: tuple[ReliabilityBin, ...]
    """The bins that hold a prediction, of ten equally wide ones."""


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """The risk (1 minus the mean of the measure) when a system answers only its most confident queries."""

    area: float
    """The mean risk over all coverages (El-Yaniv and Wiener, JMLR 2010); lower is better."""
    area_at_random: float
    """The expected area when confidence is unrelated to the measure."""
    area_at_best: float
    """The area when queries are sorted by the measure itself."""
    risks: tuple[float, ...]
    """The risk on the first 1, 2, ... n queries, most confident first."""


def probability_of_relevance(probabilities: Sequence[float]) -> float:
    """The expected grade as a share of the highest: p1 / 2 + p2 of the three grades' probabilities."""
    return probabilities[1] / 2 + probabilities[2]


def calibration(predicted: Sequence[float], is_relevant: Sequence[bool]) -> Calibration:
    """Compare predicted probabilities with the relevance of the same documents in the qrels.

    Raises:
        ValueError: There are no predictions, or the two differ in length.
    """
    pairs = list(zip(predicted, is_relevant, strict=True))
    if not pairs:
        raise ValueError("no predictions to compare with the truth")
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for probability, truth in pairs:
        bins[min(int(probability * BINS), BINS - 1)].append((probability, truth))
    filled = tuple(
        ReliabilityBin(
            place / BINS, (place + 1) / BINS, len(rows), fmean(p for p, _ in rows), fmean(truth for _, truth in rows)
        )
        for place, rows in enumerate(bins)
        if rows
    )
    error = sum(item.count * abs(item.predicted - item.observed) for item in filled) / len(pairs)
    brier = fmean((probability - truth) ** 2 for probability, truth in pairs)
    return Calibration(error, brier, fmean(truth for _, truth in pairs), len(pairs), filled)


def by_bin(queries: Sequence[Sequence[tuple[float, bool]]]) -> Values:
    """By query, each bin's sum of predictions minus truths, then the number of documents; shape (queries, bins + 1)."""
    sums = numpy.zeros((len(queries), BINS + 1))
    for place, query in enumerate(queries):
        for probability, truth in query:
            sums[place, min(int(probability * BINS), BINS - 1)] += probability - truth
        sums[place, BINS] = len(query)
    return sums


def expected_errors(sums: Values) -> Values:
    """The expected calibration error of each block of `by_bin` columns; for two blocks also their difference."""
    blocks = numpy.split(sums, sums.shape[1] // (BINS + 1), axis=1)
    with numpy.errstate(invalid="ignore"):
        errors = [numpy.abs(block[:, :BINS]).sum(axis=1) / block[:, BINS] for block in blocks]
    return numpy.column_stack([*errors, errors[0] - errors[1]] if len(errors) > 1 else errors)


def risk_coverage(confidences: Sequence[float], values: Sequence[float]) -> RiskCoverage:
    """Compute the risk on the most confident queries, at every coverage; ties in confidence keep the order given.

    Raises:
        ValueError: There are no queries, or the two differ in length.
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
