"""Fits three things on an evaluation's queries: fusion with the first stage, calibration, and abstention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

from interank.evaluation.candidates import Task
from interank.evaluation.fusion import applied_rows
from interank.evaluation.rankings import Rankings
from interank.evaluation.systems import reranked_run
from interank.ir.measures import score_run
from interank.reranking.fitting import (
    Abstention,
    Candidates,
    Fit,
    Fusion,
    FusionMethod,
    Origin,
    fit_abstention,
    fit_calibrator,
    fit_fusion,
)
from interank.types import Run
from interank.wording import listed

FusionChoice = Literal["best", "zscore", "minmax", "rrf", "none"]
CalibratorChoice = Literal["best", "temperature", "isotonic", "none"]
_FUSIONS: tuple[FusionMethod, ...] = ("zscore", "minmax", "rrf")
_CALIBRATORS: tuple[Literal["temperature", "isotonic"], ...] = ("temperature", "isotonic")


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Which methods to fit; `best` takes the one that does best on the evaluation's queries."""

    system: str | None = None
    """The reranker to fit; None if the evaluation has only one."""
    fusion: FusionChoice = "best"
    calibrator: CalibratorChoice = "best"
    coverage: float = 0.8
    """The share of queries to answer."""
    label_mass: float = 0.5
    """The label mass that a query's first document needs for the query to be answered."""


def own_grades(rows: Rankings) -> bool:
    """True if the scores come from a model's grades. A chain's are positions; a fitted system's are already fused."""
    return not any(
        "stages" in row or "fit" in row or any(item["probabilities"] is None for item in row["ranking"])
        for row in rows.values()
    ) and any(row["ranking"] for row in rows.values())


def fitted(origin: Origin, tasks: Sequence[Task], rankings: Rankings, settings: FitSettings) -> Fit:
    """Fit fusion, calibrator and abstention to a reranker's rows on the tasks.

    Raises:
        InputError: The rows do not suffice for a fit.
    """
    tried: dict[str, Any] = {}
    fusion: Fusion | None = None
    if settings.fusion != "none":
        methods = _FUSIONS if settings.fusion == "best" else (settings.fusion,)
        queries = _candidates(tasks, rankings)
        fusion, tried["fusion"] = fit_fusion(queries, lambda run: fmean(_values(tasks, run, origin).values()), methods)
    calibrator = None
    if settings.calibrator != "none":
        chosen = _CALIBRATORS if settings.calibrator == "best" else (settings.calibrator,)
        calibrator, tried["calibrator"] = fit_calibrator(_judged(tasks, rankings, origin.relevant_from), chosen)
    fit = Fit(fusion, calibrator, None, origin, tried)
    if calibrator is None:
        return fit
    abstention, tried["abstention"] = _abstention(fit, tasks, rankings, settings)
    if fusion is None:
        return replace(fit, abstention=abstention)
    unfused, tried["unfused"] = _abstention(fit.without_fusion(), tasks, rankings, settings)
    return replace(fit, abstention=abstention, unfused=unfused)


def _abstention(
    fit: Fit, tasks: Sequence[Task], rankings: Rankings, settings: FitSettings
) -> tuple[Abstention, list[dict[str, Any]]]:
    """The abstention rule for the rankings after the fit, and the thresholds that it was chosen from."""
    rows = applied_rows(fit, rankings, tasks)
    runs = {task.name: reranked_run(rows, task, "fitted") for task in tasks}
    values = {(task.name, q): v for task in tasks for q, v in _of_task(task, runs[task.name], fit.origin).items()}
    tops = {key: row["ranking"][0]["probability"] for key, row in rows.items() if row["ranking"]}
    return fit_abstention(list(tops.values()), [values[key] for key in tops], settings.coverage, settings.label_mass)


def _candidates(tasks: Sequence[Task], rankings: Rankings) -> list[Candidates]:
    """Each query's candidates with the model's and the first stage's scores; ids are prefixed with their task."""
    candidates = []
    for task in tasks:
        for query in task.queries:
            row = rankings.get((task.name, query.query_id))
            if row is not None:
                ours = {item["doc_id"]: item["score"] for item in row["ranking"]}
                first = task.candidates.scores(query.query_id)
                name = f"{task.name}\0{query.query_id}"
                candidates.append(
                    Candidates(name, tuple(first), tuple(ours[doc_id] for doc_id in first), tuple(first.values()))
                )
    return candidates


def _values(tasks: Sequence[Task], run: Run, origin: Origin) -> dict[str, float]:
    """By task, the mean measure of a run whose query ids are those of `_candidates`."""
    means = {}
    for task in tasks:
        lead = f"{task.name}\0"
        own = {name.removeprefix(lead): run.scores(name) for name in run if name.startswith(lead)}
        means[task.name] = fmean(_of_task(task, Run.from_rankings(own, tag=run.tag), origin).values())
    return means


def _of_task(task: Task, run: Run, origin: Origin) -> dict[str, float]:
    return score_run(task.qrels, run, [origin.measure]).per_query[origin.measure]


def _judged(tasks: Sequence[Task], rankings: Rankings, relevant_from: int) -> list[list[tuple[float, bool]]]:
    """By query, each document's score and whether it is relevant; unjudged documents count as irrelevant."""
    queries = []
    for task in tasks:
        relevant = {(qrel.query_id, qrel.doc_id) for qrel in task.qrels if qrel.relevance >= relevant_from}
        for query in task.queries:
            row = rankings.get((task.name, query.query_id), {"ranking": []})
            queries.append([(item["score"], (query.query_id, item["doc_id"]) in relevant) for item in row["ranking"]])
    return [pairs for pairs in queries if pairs]


def which_to_name(rankings: Mapping[str, Rankings], graded: Sequence[str], wanted: str | None) -> str:
    """The rest of an error message: why it is unclear which reranker to fit, and what to do."""
    if not graded:
        return (
            f"has no reranker with grades to fit to (its rankings: {listed(rankings)}); evaluate an adapter in mode "
            "score or reason, and fit that evaluation"
        )
    if wanted is None:
        return f"has several rerankers; name the one to fit with --system: {listed(graded, last='or')}"
    return f"has no reranker with grades named {wanted}; give --system {listed(graded, last='or')}"
