"""Calibration error of probabilities before and after a fit, and the effect of abstaining, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy

from interank.evaluation.candidates import Task
from interank.ir.calibration import by_bin, calibration, expected_errors, probability_of_relevance
from interank.ir.significance import Sample, Values

QueryRows = Sequence[Sequence[tuple[Mapping[str, Any], bool]]]
"""By query, the graded documents' rows, each with True if the document is relevant."""


def calibrations(graded: QueryRows, sample: Sample) -> dict[str, Any]:
    """The calibration of the model's own probabilities and, if there are any, of the fitted ones.

    Queries are resampled, not documents, since documents of one query are not independent. `improvement` is the
    paired decrease of the expected error.
    """
    if not any(graded):
        return {}
    own = [[(probability_of_relevance(item["probabilities"]), truth) for item, truth in query] for query in graded]
    columns = [by_bin(own)]
    figures = {"calibration": _calibration(own)}
    if any("probability" in item for query in graded for item, _ in query):
        fitted = [[(item["probability"], truth) for item, truth in query] for query in graded]
        columns.append(by_bin(fitted))
        figures["calibrated"] = _calibration(fitted)
    bounds = sample.bounds(numpy.column_stack(columns), expected_errors)
    for name, (low, high) in zip(figures, bounds, strict=False):
        figures[name] |= {"low": low, "high": high}
    if "calibrated" in figures:
        before, after = (figures[name]["expected_error"] for name in ("calibration", "calibrated"))
        low, high = bounds[-1]
        figures["calibrated"]["improvement"] = {"mean": before - after, "low": low, "high": high}
    return figures


def abstentions(
    tasks: Sequence[Task],
    rankings: Mapping[tuple[str, str], Mapping[str, Any]],
    values: Mapping[tuple[str, str], float],
    sample: Sample,
) -> dict[str, Any]:
    """The share of queries answered under a fit's abstention rule, and the measure on answered and refused queries."""
    keys = [(task.name, query.query_id) for task in tasks for query in task.queries]
    if not any("abstain" in rankings.get(key, {}) for key in keys):
        return {}
    # A query without candidates counts as refused.
    answers = numpy.array([not rankings.get(key, {}).get("abstain", True) for key in keys], dtype=numpy.float64)
    measured = numpy.array([values[key] for key in keys], dtype=numpy.float64)
    columns = numpy.column_stack([answers, answers * measured, numpy.ones(len(keys)), measured])
    means = _answered(columns.sum(axis=0, keepdims=True))[0].tolist()
    bounds = sample.bounds(columns, _answered)
    names = ("coverage", "answered", "refused")
    figures = {
        # NaN is the mean of no queries: none is answered, or none is refused.
        name: None if mean != mean else {"mean": mean, "low": low, "high": high}
        for name, mean, (low, high) in zip(names, means, bounds, strict=True)
    }
    return {"abstention": {"queries": len(keys), **figures}}


def _calibration(queries: Sequence[Sequence[tuple[float, bool]]]) -> dict[str, Any]:
    pairs = [pair for query in queries for pair in query]
    return asdict(calibration([probability for probability, _ in pairs], [truth for _, truth in pairs]))


def _answered(sums: Values) -> Values:
    """Coverage, and the mean measure of answered and refused queries.

    The columns of `sums` are the answered queries, their measure, all queries, and their measure.
    """
    answers, answered, queries, total = sums.T
    with numpy.errstate(invalid="ignore", divide="ignore"):
        refused = numpy.where(queries > answers, (total - answered) / (queries - answers), numpy.nan)
        return numpy.column_stack([answers / queries, answered / answers, refused])
