"""Scores of several runs over the same queries: means with intervals, gains over the first stage, values by query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from interank.evaluation.candidates import Task
from interank.evaluation.significance import difference_interval, mean_interval
from interank.measures import ideal_run, random_run, score_run
from interank.types import Run

FIRST_STAGE = "first stage"
# The floor and the ceiling that the candidates set for any reranking of them.
RANDOM, PERFECT = "random order", "perfect order"

Metrics = dict[str, dict[str, Any]]
PerQuery = list[dict[str, Any]]


def score_systems(
    task: Task, runs: Mapping[str, Run], measures: Sequence[str], *, seed: int
) -> tuple[Metrics, PerQuery]:
    """Score each run, and the random and the perfect order of the same candidates.

    Returns:
        By system and measure `mean`, `low`, `high` and, but for the first stage, `gain` over it with its interval;
        and by query every system's values.
    """
    every = {**runs, RANDOM: random_run(task.candidates, seed), PERFECT: ideal_run(task.qrels, task.candidates)}
    ids = [query.query_id for query in task.queries]
    values = {
        name: {m: [v[i] for i in ids] for m, v in score_run(task.qrels, run, measures).per_query.items()}
        for name, run in every.items()
    }
    metrics: Metrics = {}
    for name, by_measure in values.items():
        metrics[name] = {"queries": len(ids)}
        for measure, scores in by_measure.items():
            entry: dict[str, Any] = asdict(mean_interval(scores, seed=seed))
            if name != FIRST_STAGE:
                entry["gain"] = asdict(difference_interval(scores, values[FIRST_STAGE][measure], seed=seed))
            metrics[name][measure] = entry
    per_query = [
        {"query_id": query_id, **{name: {m: v[row] for m, v in by.items()} for name, by in values.items()}}
        for row, query_id in enumerate(ids)
    ]
    return metrics, per_query
