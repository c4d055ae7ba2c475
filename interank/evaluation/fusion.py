"""Applies fits to a reranker's rows: fused order, calibrated probabilities and abstention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from interank.artifact import MANIFEST, model_digest
from interank.errors import InputError
from interank.evaluation.candidates import Task
from interank.evaluation.rankings import Rankings
from interank.modes import FITTED_MODES, Mode
from interank.reranking.fitting import Fit, fit_file, read_fit
from interank.tasks.documents import by_scores
from interank.types import RankedDocument, Run


class AppliedFit(NamedTuple):
    """A fit, its file, and the name of the fitted system."""

    fit: Fit
    path: Path
    system: str


def fits_by_adapter(fits: Sequence[Path], mode: Mode, adapters: Sequence[tuple[str, Path]]) -> dict[str, AppliedFit]:
    """The fits by the name of the adapter that each was fitted to.

    Raises:
        InputError: A fit belongs to another mode, to none of the adapters or to several, two fits belong to the same
            adapter, or a folder has no fit.
    """
    if fits and mode not in FITTED_MODES:
        raise InputError(
            f"mode {mode} gives positions, not scores, and a fit applies to scores; leave fits out, or set mode=score "
            "or mode=reason"
        )
    by_adapter: dict[str, AppliedFit] = {}
    for source in fits:
        path = fit_file(source, mode)
        fit = read_fit(path)
        owners = _owners(fit, source, adapters)
        if len(owners) != 1 or owners[0] in by_adapter:
            names = ", ".join(name for name, _ in adapters) or "none"
            raise InputError(
                f"{path} was fitted to {fit.origin.system}. It has to belong to exactly one of the adapters ({names}), "
                f"and each adapter has at most one fit; here it belongs to {len(owners)} of them. Name the adapter "
                "that it was fitted to, or leave the fit out"
            )
        fit.check_mode(path, mode)
        by_adapter[owners[0]] = AppliedFit(fit, path, f"{owners[0]}, {'fused' if fit.fusion else 'calibrated'}")
    return by_adapter


def notes_on_fit(applied: AppliedFit, tasks: Sequence[Task]) -> list[str]:
    """Notes on a fitted system: how it fuses, on what it was fitted, and whether the candidates differ from those.

    Raises:
        InputError: It was fitted on queries of this evaluation.
    """
    fit, origin = applied.fit, applied.fit.origin
    fit.check_unseen(applied.path, [query for task in tasks for query in task.queries])
    fused = f"by {fit.fusion.method} with weight {fit.fusion.weight:g}" if fit.fusion else "not"
    notes = [
        f"{applied.system}: fused {fused}, fitted on {len(origin.queries)} other queries of {origin.benchmark}; "
        f"its probability is {origin.predicts}"
    ]
    fitted = {(task.first_stage, task.depth) for task in origin.tasks.values()}
    measured = {(task.facts["first_stage"], task.facts["depth"]) for task in tasks}
    if not measured <= fitted:
        notes.append(
            f"{applied.system}: was fitted on candidates of {_described(fitted)} and is measured on those of "
            f"{_described(measured)}, whose scores and share of relevant documents may differ"
        )
    return notes


def applied_rows(fit: Fit, rankings: Rankings, tasks: Sequence[Task]) -> Rankings:
    """A reranker's rows with the fit applied; explanations stay with their documents."""
    fitted: Rankings = {}
    for task in tasks:
        for query in task.queries:
            row = rankings.get((task.name, query.query_id))
            if row is not None:
                ranking = _ranking(fit, query.query_id, row["ranking"], task.candidates)
                abstains = fit.abstains(ranking)
                fitted[task.name, query.query_id] = {
                    **row,
                    "ranking": [item.as_row() for item in ranking],
                    "fit": fit.origin.evaluation,
                    **({} if abstains is None else {"abstain": abstains}),
                }
    return fitted


def _ranking(fit: Fit, query_id: str, rows: Sequence[Mapping[str, Any]], candidates: Run) -> list[RankedDocument]:
    documents = {row["doc_id"]: fit.calibrated(RankedDocument.of_row(row), row["score"]) for row in rows}
    if fit.fusion is None:
        return list(documents.values())
    first = candidates.scores(query_id)
    scores = fit.fusion.fused([documents[doc_id].score for doc_id in first], list(first.values()))
    return by_scores(query_id, [documents[doc_id] for doc_id in first], scores)


def _owners(fit: Fit, source: Path, adapters: Sequence[tuple[str, Path]]) -> list[str]:
    """The adapters that a fit may belong to: the one that stores it, else adapter artifacts, else merged models."""
    own = [(name, path.resolve()) for name, path in adapters if model_digest(path) == fit.origin.model]
    storing = [name for name, path in own if source.is_dir() and path == source.resolve()]
    artifacts = [name for name, path in own if (path / MANIFEST).is_file()]
    return storing or artifacts or [name for name, _ in own]


def _described(stages: set[tuple[str, int]]) -> str:
    return " and ".join(f"{name} to depth {depth}" for name, depth in sorted(stages))
