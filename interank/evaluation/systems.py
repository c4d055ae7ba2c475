"""The names and runs of the compared systems: first stage, stored runs and rerankers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.errors import InputError
from interank.evaluation.candidates import RUN_ENDS, Task, file_of_task
from interank.evaluation.scoring import FIRST_STAGE, PERFECT, RANDOM
from interank.ir.measures import tie_bounds
from interank.ir.trec import read_run_file
from interank.types import Run, ScoredDoc

# The system name of a recipe's chain of rerankers.
CHAIN = "chain"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run from elsewhere on one task, in trec_eval's order, with the range of means that its ties allow."""

    run: Run
    file: Path
    bounds: Mapping[str, tuple[float, float]]
    """By measure, the lowest and the highest mean over all orders of the ties; empty without ties."""
    excluded: int
    """How many documents were removed because their query excludes them."""


def named_systems(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Adapters and stored runs with their names, numbered if a name occurs twice or belongs to another system."""
    own = [path.resolve().name.removesuffix(".gz") for path in paths]
    own = [name.rpartition(".")[0] or name if path.is_file() else name for name, path in zip(own, paths, strict=True)]
    taken = {file_name(name) for name in (FIRST_STAGE, RANDOM, PERFECT, CHAIN)}
    named = []
    for name, path in zip(own, paths, strict=True):
        free = (f"{name}-{number}" for number in itertools.count(1))
        alone = own.count(name) == 1 and file_name(name) not in taken
        chosen = name if alone else next(n for n in free if n not in own and file_name(n) not in taken)
        taken.add(file_name(chosen))
        named.append((chosen, path))
    return named


def file_name(system: str) -> str:
    """The system's name as part of a path."""
    return system.replace(" ", "_")


def stored_run(path: Path, task: Task, measures: Sequence[str], *, several: bool) -> StoredRun:
    """Read a task's run without excluded documents and without queries that are not evaluated.

    Raises:
        InputError: The run is missing or cannot be read, or it ranks none of the task's queries.
    """
    file = file_of_task(path, task.name, RUN_ENDS, several=several)
    ranked = read_run_file(file)
    ids = [query.query_id for query in task.queries if query.query_id in ranked.scored]
    wanted = {query_id: ranked.scored[query_id] for query_id in ids}
    if not wanted:
        raise InputError(f"{path} ranks none of the queries of {task.name}; give a run of this task and split")
    allowed = dict(wanted)
    for query_id, left_out in task.excluded.items():
        if not left_out.isdisjoint(wanted.get(query_id, ())):
            kept = ((doc_id, score) for doc_id, score in wanted[query_id].items() if doc_id not in left_out)
            allowed[query_id] = dict(kept)
    run = Run.from_trec_eval(allowed, tag=path.name, falling=ranked.falling)
    lowest, highest = tie_bounds(task.qrels, allowed, measures) if run.tied else ({}, {})
    excluded = sum(map(len, wanted.values())) - sum(map(len, allowed.values()))
    return StoredRun(run, file, {measure: (lowest[measure], highest[measure]) for measure in lowest}, excluded)


def notes_on_stored(name: str, by_task: Mapping[str, StoredRun]) -> list[str]:
    """Warnings beside the scores of a stored run: ties and excluded documents."""
    notes = []
    for task, stored in by_task.items():
        if stored.bounds:
            measure, (low, high) = next(iter(stored.bounds.items()))
            effect = f"another order would give {measure} {low:.4f} to {high:.4f}"
            if f"{low:.4f}" == f"{high:.4f}":
                effect = f"their order does not change {measure}"
            notes.append(
                f"{name} on {task}: {stored.run.tied} documents have tied scores and are ordered as trec_eval does, by "
                f"descending document id; {effect}"
            )
        if stored.excluded:
            notes.append(f"{name} on {task}: {stored.excluded} documents that their query excludes were removed")
    return notes


def reranked_run(rankings: Mapping[tuple[str, str], Mapping[str, Any]], task: Task, name: str) -> Run:
    """A reranker's rows of a task as a run; ties keep first-stage order."""
    scored = [
        ScoredDoc(query.query_id, item["doc_id"], item["score"])
        for query in task.queries
        for item in rankings.get((task.name, query.query_id), {}).get("ranking", [])
    ]
    return Run.from_scores(scored, first_stage=task.candidates, tag=f"interank-{name}")


def joined(runs: Mapping[str, Run]) -> Run:
    """The runs of several tasks as one, with task-prefixed query ids; a single run is returned unchanged."""
    if len(runs) == 1:
        return next(iter(runs.values()))
    rankings = {
        f"{task}/{query_id}": [item._replace(query_id=f"{task}/{query_id}") for item in run[query_id]]
        for task, run in runs.items()
        for query_id in run
    }
    return Run(rankings, tag=next(iter(runs.values())).tag)
