"""Scores of several systems over the same queries: means with intervals, paired comparisons, values by query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy

from interank.evaluation.candidates import Task
from interank.ir.measures import canonical_measure, deepest, ideal_run, random_run, score_run
from interank.ir.significance import Interval, Sample, Values, holm
from interank.types import Run

FIRST_STAGE = "first stage"
# Lower and upper bound of any reranking of the candidates.
RANDOM, PERFECT = "random order", "perfect order"

# Means of the same values in another order differ in their last digits.
_EQUAL = 1e-9

Runs = Mapping[str, Run]
"""A system's runs by task name."""


@dataclass(frozen=True, slots=True)
class Results:
    """The scores of all systems.

    `metrics` holds by system `queries`, `tasks` (the same by task), and by measure `mean`, `low`, `high` and, except
    for the first stage, the `gain` over the first stage. `comparisons` holds every pair of systems under each measure,
    without the random and the perfect order; `p_corrected` is corrected for the number of pairs. `per_query` holds
    one row per query with every system's values.
    """

    metrics: dict[str, dict[str, Any]]
    comparisons: list[dict[str, Any]]
    per_query: list[dict[str, Any]]


def score_systems(tasks: Sequence[Task], systems: Mapping[str, Runs], measures: Sequence[str], *, seed: int) -> Results:
    """Score each system, and the random and the perfect order of the first stage's candidates.

    A mean is the mean of task means. Intervals resample queries within their tasks; p-values are from paired
    randomisation tests, corrected by Holm's method over the pairs of systems of a measure.
    """
    for name, runs in systems.items():
        _check_exclusions(name, tasks, runs)
    depth = deepest(map(canonical_measure, measures))
    bounds = {
        RANDOM: {task.name: random_run(task.candidates, seed, depth=depth) for task in tasks},
        PERFECT: {task.name: ideal_run(task.qrels, task.candidates, depth=depth) for task in tasks},
    }
    values = {name: _values(tasks, runs, measures) for name, runs in {**systems, **bounds}.items()}
    # All columns are resampled in one call, since drawing the resamples takes most of the time.
    pairs = list(combinations(systems, 2))
    gains = [*pairs, *((FIRST_STAGE, name) for name in bounds)]
    columns = [*values.values(), *(values[ours] - values[against] for against, ours in gains)]
    sample = Sample([len(task.queries) for task in tasks], seed=seed)
    intervals = iter(sample.intervals(numpy.column_stack(columns)))
    metrics: dict[str, dict[str, Any]] = {
        name: {"queries": len(table)} | {measure: asdict(next(intervals)) for measure in measures}
        for name, table in values.items()
    }
    differences = {pair: {measure: next(intervals) for measure in measures} for pair in gains}
    comparisons = _comparisons(tasks, sample, values, {pair: differences[pair] for pair in pairs}, measures)
    for name, by_task in _by_task(tasks, values, metrics, measures, seed).items():
        metrics[name]["tasks"] = by_task
    _add_gains(metrics, comparisons, {name: differences[FIRST_STAGE, name] for name in bounds})
    return Results(metrics, comparisons, _per_query(tasks, values, measures))


def _check_exclusions(name: str, tasks: Sequence[Task], runs: Runs) -> None:
    """Raise if a system ranks a document that its query excludes, as BRIGHT's own evaluation does."""
    for task in tasks:
        for query_id, excluded in task.excluded.items():
            ranked = excluded.intersection(runs[task.name].scores(query_id)) if query_id in runs[task.name] else ()
            if ranked:
                raise ValueError(
                    f"{name} ranks {sorted(ranked)[0]!r}, which the query {query_id!r} of {task.name} excludes"
                )


def _values(tasks: Sequence[Task], runs: Runs, measures: Sequence[str]) -> Values:
    """The values of a system, of shape (queries of all tasks, measures)."""
    blocks = []
    for task in tasks:
        by_measure = score_run(task.qrels, runs[task.name], measures).per_query
        ids = [query.query_id for query in task.queries]
        blocks.append(numpy.array([[by_measure[measure][i] for measure in measures] for i in ids], dtype=numpy.float64))
    return numpy.concatenate(blocks)


def _by_task(
    tasks: Sequence[Task],
    values: Mapping[str, Values],
    metrics: Mapping[str, Mapping[str, Any]],
    measures: Sequence[str],
    seed: int,
) -> dict[str, dict[str, Any]]:
    """By system and task, the number of queries and each measure's mean with its interval."""
    if len(tasks) == 1:
        # One task has the same queries and resamples as the whole.
        return {name: {tasks[0].name: deepcopy(dict(metrics[name]))} for name in values}
    by_system: dict[str, dict[str, Any]] = {name: {} for name in values}
    for task, rows in zip(tasks, _rows(tasks), strict=True):
        sample = Sample([len(task.queries)], seed=seed)
        intervals = iter(sample.intervals(numpy.column_stack([table[rows] for table in values.values()])))
        for name in values:
            of_task = {measure: asdict(next(intervals)) for measure in measures}
            by_system[name][task.name] = {"queries": len(task.queries)} | of_task
    return by_system


def _comparisons(
    tasks: Sequence[Task],
    sample: Sample,
    values: Mapping[str, Values],
    intervals: Mapping[tuple[str, str], Mapping[str, Interval]],
    measures: Sequence[str],
) -> list[dict[str, Any]]:
    """Every pair of systems under each measure; the pairs of a measure form one family of tests."""
    comparisons: list[dict[str, Any]] = []
    rows_of = {task.name: rows for task, rows in zip(tasks, _rows(tasks), strict=True)}
    for place, measure in enumerate(measures):
        differences = {pair: (values[pair[1]] - values[pair[0]])[:, place] for pair in intervals}
        p_values = sample.p_values(numpy.column_stack(list(differences.values()))) if differences else []
        corrected = holm(p_values)
        by_task = _chances_by_task(differences, rows_of, p_values, sample.seed)
        for column, ((against, ours), difference) in enumerate(differences.items()):
            comparisons.append(
                {
                    "measure": measure,
                    "system": ours,
                    "against": against,
                    **asdict(intervals[against, ours][measure]),
                    "p": p_values[column],
                    "p_corrected": corrected[column],
                    **_outcomes(difference),
                    "tasks": {
                        task: {
                            "mean": float(difference[rows].mean()),
                            **by_task[task, (against, ours)],
                            **_outcomes(difference[rows]),
                        }
                        for task, rows in rows_of.items()
                    },
                }
            )
    return comparisons


def _chances_by_task(
    differences: Mapping[tuple[str, str], Values],
    rows_of: Mapping[str, slice],
    of_all: Sequence[float],
    seed: int,
) -> dict[tuple[str, tuple[str, str]], dict[str, float]]:
    """By task and pair, p and its correction, with all tasks and pairs as one family.

    `of_all` has the p-values over all queries, one per pair.
    """
    places = [(task, pair) for task in rows_of for pair in differences]
    # One task has the same queries and random exchanges as the whole.
    p_values = list(of_all) if len(rows_of) == 1 else []
    for rows in rows_of.values() if len(rows_of) > 1 and differences else ():
        table = numpy.column_stack([difference[rows] for difference in differences.values()])
        p_values += Sample([len(table)], seed=seed).p_values(table)
    corrected = holm(p_values)
    return {
        place: {"p": p, "p_corrected": p_corrected}
        for place, p, p_corrected in zip(places, p_values, corrected, strict=True)
    }


def _add_gains(
    metrics: Mapping[str, dict[str, Any]],
    comparisons: Sequence[Mapping[str, Any]],
    of_bounds: Mapping[str, Mapping[str, Interval]],
) -> None:
    """Add each system's gain over the first stage to `metrics`; random and perfect order get no test."""
    keys = ("mean", "low", "high", "p", "p_corrected", "wins", "ties", "losses")
    for comparison in comparisons:
        if comparison["against"] == FIRST_STAGE:
            gain = {key: comparison[key] for key in keys}
            metrics[comparison["system"]][comparison["measure"]]["gain"] = gain
    for name, gains in of_bounds.items():
        for measure, interval in gains.items():
            metrics[name][measure]["gain"] = asdict(interval)


def _outcomes(difference: Values) -> dict[str, int]:
    wins, losses = int((difference > _EQUAL).sum()), int((difference < -_EQUAL).sum())
    return {"wins": wins, "ties": len(difference) - wins - losses, "losses": losses}


def _per_query(tasks: Sequence[Task], values: Mapping[str, Values], measures: Sequence[str]) -> list[dict[str, Any]]:
    ids = [(task.name, query.query_id) for task in tasks for query in task.queries]
    return [
        {"task": task, "query_id": query_id}
        | {name: dict(zip(measures, table[row].tolist(), strict=True)) for name, table in values.items()}
        for row, (task, query_id) in enumerate(ids)
    ]


def _rows(tasks: Sequence[Task]) -> list[slice]:
    """The slice of each task's queries in the rows of all tasks."""
    ends = numpy.cumsum([len(task.queries) for task in tasks]).tolist()
    return [slice(end - len(task.queries), end) for end, task in zip(ends, tasks, strict=True)]
