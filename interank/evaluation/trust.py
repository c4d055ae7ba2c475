"""How far probabilities can be trusted, before and after calibration, and what abstaining saves, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy

from interank.evaluation.candidates import Task
from interank.ir.calibration import BINS, calibration, probability_of_relevance
from interank.ir.significance import Sample, Values

Graded = Sequence[Sequence[tuple[Mapping[str, Any], bool]]]
"""By query the graded documents' rows, each with whether it is relevant."""


def calibrations(graded: Graded, sample: Sample) -> dict[str, Any]:
    """The calibration of the model's own probabilities and, where they are known, of the fitted ones.

    Queries are resampled, not documents, for those of one query stand or fall together. `improvement` is how much
    smaller the expected error became, paired.
    """
    if not any(graded):
        return {}
    own = [[(probability_of_relevance(item["probabilities"]), truth) for item, truth in query] for query in graded]
    columns = [_by_bin(own)]
    found = {"calibration": _calibration(own)}
    if any("probability" in item for query in graded for item, _ in query):
        fitted = [[(item["probability"], truth) for item, truth in query] for query in graded]
        columns.append(_by_bin(fitted))
        found["calibrated"] = _calibration(fitted)
    bounds = sample.bounds(numpy.column_stack(columns), _expected_errors)
    for name, (low, high) in zip(found, bounds, strict=False):
        found[name] |= {"low": low, "high": high}
    if "calibrated" in found:
        before, after = (found[name]["expected_error"] for name in ("calibration", "calibrated"))
        low, high = bounds[-1]
        found["calibrated"]["improvement"] = {"mean": before - after, "low": low, "high": high}
    return found


def abstentions(
    tasks: Sequence[Task],
    rankings: Mapping[tuple[str, str], Mapping[str, Any]],
    values: Mapping[tuple[str, str], float],
    sample: Sample,
) -> dict[str, Any]:
    """What is answered where a fit says when to abstain: the share of queries, and the measure on them and the rest."""
    keys = [(task.name, query.query_id) for task in tasks for query in task.queries]
    if not any("abstain" in rankings.get(key, {}) for key in keys):
        return {}
    # A query without candidates has nothing to answer with.
    answers = numpy.array([not rankings.get(key, {}).get("abstain", True) for key in keys], dtype=numpy.float64)
    reached = numpy.array([values[key] for key in keys], dtype=numpy.float64)
    columns = numpy.column_stack([answers, answers * reached, numpy.ones(len(keys)), reached])
    means = _answered(columns.sum(axis=0, keepdims=True))[0].tolist()
    bounds = sample.bounds(columns, _answered)
    names = ("coverage", "answered", "refused")
    told = {
        # Where none is refused, or all are, there is nothing to take the mean of.
        name: None if mean != mean else {"mean": mean, "low": low, "high": high}
        for name, mean, (low, high) in zip(names, means, bounds, strict=True)
    }
    return {"abstention": {"queries": len(keys), **told}}


def _calibration(queries: Sequence[Sequence[tuple[float, bool]]]) -> dict[str, Any]:
    pairs = [pair for query in queries for pair in query]
    return asdict(calibration([probability for probability, _ in pairs], [truth for _, truth in pairs]))


def _by_bin(queries: Sequence[Sequence[tuple[float, bool]]]) -> Values:
    """Shape (queries, bins + 1): by bin the predictions less the truths, and the number of documents."""
    sums = numpy.zeros((len(queries), BINS + 1))
    for place, query in enumerate(queries):
        for probability, truth in query:
            sums[place, min(int(probability * BINS), BINS - 1)] += probability - truth
        sums[place, BINS] = len(query)
    return sums


def _expected_errors(sums: Values) -> Values:
    """The expected calibration error of each block of `_by_bin` columns; of two also how much smaller the second is."""
    blocks = numpy.split(sums, sums.shape[1] // (BINS + 1), axis=1)
    with numpy.errstate(invalid="ignore"):
        errors = [numpy.abs(block[:, :BINS]).sum(axis=1) / block[:, BINS] for block in blocks]
    return numpy.column_stack([*errors, errors[0] - errors[1]] if len(errors) > 1 else errors)


def _answered(sums: Values) -> Values:
    """Of the sums of answers, answered values, queries and values: coverage, and the means of answered and refused."""
    answers, answered, queries, total = sums.T
    with numpy.errstate(invalid="ignore", divide="ignore"):
        refused = numpy.where(queries > answers, (total - answered) / (queries - answers), numpy.nan)
        return numpy.column_stack([answers / queries, answered / answers, refused])
