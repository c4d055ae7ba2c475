"""What an evaluation's fits make of a reranker's rows: a fused order, calibrated probabilities, and when to abstain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from interank.artifact import MANIFEST, model_digest
from interank.errors import InputError
from interank.evaluation.candidates import Task
from interank.evaluation.evaluated import Rankings
from interank.modes import FITTED_MODES, Mode
from interank.reranking.fitting import Fit, fit_file, read_fit
from interank.tasks.documents import by_scores
from interank.types import RankedDocument, Run


class Applied(NamedTuple):
    """A fit, its file, and the name of the system that it makes of an adapter's."""

    fit: Fit
    path: Path
    system: str


def fits_by_adapter(fits: Sequence[Path], mode: Mode, adapters: Sequence[tuple[str, Path]]) -> dict[str, Applied]:
    """The fits by the adapters that they belong to.

    Raises:
        InputError: One belongs to none of the adapters, to another mode, or to the adapter of another one, or it is
            asked of a folder that stores none.
    """
    if fits and mode not in FITTED_MODES:
        raise InputError(
            f"mode {mode} gives places in place of scores, which no fit is of; leave fits out, or set mode=score "
            "or mode=reason"
        )
    found: dict[str, Applied] = {}
    for given in fits:
        path = fit_file(given, mode)
        fit = read_fit(path)
        matching = _owners(fit, given, adapters)
        if len(matching) != 1 or matching[0] in found:
            names = ", ".join(name for name, _ in adapters) or "none"
            raise InputError(
                f"{path} was fitted to {fit.origin.system}. It has to be for one of the adapters, once; here "
                f"it is for {len(matching)} of them ({names}). Name its own adapter, or leave the fit out"
            )
        fit.check_mode(path, mode)
        found[matching[0]] = Applied(fit, path, f"{matching[0]}, {'fused' if fit.fusion else 'calibrated'}")
    return found


def notes_on_fit(applied: Applied, tasks: Sequence[Task]) -> list[str]:
    """What the figures of a fitted system rest on, once it is sure that it was fitted on other queries.

    Raises:
        InputError: It was fitted on queries that are measured.
    """
    fit, origin = applied.fit, applied.fit.origin
    fit.check_unseen(applied.path, [query for task in tasks for query in task.queries])
    fused = f"by {fit.fusion.method} with weight {fit.fusion.weight:g}" if fit.fusion else "not"
    notes = [
        f"{applied.system}: fused {fused}, fitted on {len(origin.queries)} other queries of {origin.benchmark}; "
        f"its probability is {origin.predicts}"
    ]
    there = {(task.first_stage, task.depth) for task in origin.tasks.values()}
    here = {(task.facts["first_stage"], task.facts["depth"]) for task in tasks}
    if not here <= there:
        notes.append(
            f"{applied.system}: was fitted on candidates of {_told(there)} and is measured on those of {_told(here)}, "
            "whose scores and share of relevant documents may be others"
        )
    return notes


def applied_rows(fit: Fit, rankings: Rankings, tasks: Sequence[Task]) -> Rankings:
    """A reranker's rows with the fit applied; what was explained stays so."""
    found: Rankings = {}
    for task in tasks:
        for query in task.queries:
            row = rankings.get((task.name, query.query_id))
            if row is not None:
                ranking = _ranking(fit, query.query_id, row["ranking"], task.candidates)
                abstains = fit.abstains(ranking)
                found[task.name, query.query_id] = {
                    **row,
                    "ranking": [item.as_row() for item in ranking],
                    "fit": fit.origin.evaluation,
                    **({} if abstains is None else {"abstain": abstains}),
                }
    return found


def _ranking(fit: Fit, query_id: str, rows: Sequence[Mapping[str, Any]], candidates: Run) -> list[RankedDocument]:
    found = {row["doc_id"]: fit.calibrated(RankedDocument.of_row(row), row["score"]) for row in rows}
    if fit.fusion is None:
        return list(found.values())
    first = candidates.scores(query_id)
    scores = fit.fusion.fused([found[doc_id].score for doc_id in first], list(first.values()))
    return by_scores(query_id, [found[doc_id] for doc_id in first], scores)


def _owners(fit: Fit, given: Path, adapters: Sequence[tuple[str, Path]]) -> list[str]:
    """Of the adapters that a fit may be of, the one that stores it, else the artifact, else what was merged from it."""
    own = [(name, path.resolve()) for name, path in adapters if model_digest(path) == fit.origin.model]
    storing = [name for name, path in own if given.is_dir() and path == given.resolve()]
    artifacts = [name for name, path in own if (path / MANIFEST).is_file()]
    return storing or artifacts or [name for name, _ in own]


def _told(stages: set[tuple[str, int]]) -> str:
    return " and ".join(f"{name} to depth {depth}" for name, depth in sorted(stages))
