"""evaluate: the first stage, stored runs and adapters on the same candidates; runs, scores with intervals, a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from interank.artifact import Artifact, Existing, create
from interank.evaluation.candidates import Evaluated, Task, load_evaluated, notes_on_texts
from interank.evaluation.evaluated import Evaluation, Rankings, Scoring, costs_of, notes_on_ranked, ran_on
from interank.evaluation.explained import mark
from interank.evaluation.fused import applied_rows, fits_by_adapter, notes_on_fit
from interank.evaluation.page import Provenance
from interank.evaluation.record import record
from interank.evaluation.scoring import FIRST_STAGE
from interank.evaluation.systems import CHAIN, StoredRun, named_systems, notes_on_stored, reranked_run, stored_run
from interank.evaluation.training_data import check_training_data
from interank.ledger import Ledger
from interank.plots import begin_import
from interank.progress import track
from interank.recipe import EvaluateRecipe, evaluate_command
from interank.stages.evaluating import check as check
from interank.stages.evaluating import links_of
from interank.stages.inputs import described, leaving_nothing_begun, require_inputs
from interank.stages.marked import marking
from interank.stages.ranked import Ranked, adapter_ranking, chain_ranking, notes_on_bases
from interank.types import Run


@leaving_nothing_begun
def run(recipe: EvaluateRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Rerank the candidates with each adapter and score all of it; rankings are kept query by query."""
    require_inputs(recipe)
    named = named_systems([*recipe.runs, *recipe.adapters])
    fits = fits_by_adapter(recipe.fits, recipe.mode, named[len(recipe.runs) :])
    inputs = described(check(recipe), out)
    content = recipe.model_dump(mode="json")
    place = create(out, "evaluation", recipe=content, inputs=inputs, existing=existing, free=("memory",))
    if isinstance(place, Artifact):
        return place
    started = time.monotonic()
    begin_import()
    tasks = load_evaluated(Evaluated.of(recipe), reranking=bool(recipe.adapters or recipe.chain))
    notes = notes_on_texts(tasks) + [note for applied in fits.values() for note in notes_on_fit(applied, tasks)]
    notes += notes_on_bases(recipe)
    costs: dict[str, dict[str, Any]] = {FIRST_STAGE: {"seconds": time.monotonic() - started}}
    runs: dict[str, dict[str, Run]] = {FIRST_STAGE: {task.name: task.candidates for task in tasks}}
    stored = {name: _stored(recipe, tasks, path) for name, path in named[: len(recipe.runs)]}
    runs |= {name: {task: found.run for task, found in by_task.items()} for name, by_task in stored.items()}
    if recipe.run is not None and any(task.facts["tied_candidates"] for task in tasks):
        stored = {FIRST_STAGE: _stored(recipe, tasks, recipe.run), **stored}
    notes += [note for name, by_task in stored.items() for note in notes_on_stored(name, by_task)]
    adapters = named[len(recipe.runs) :]
    if trained := [*adapters, *links_of(recipe)]:
        overlap, said = check_training_data(trained, tasks, Path(str(recipe.benchmark)).name)
        place.write_json("training_overlap.json", overlap)
        notes += said
    ranked: dict[str, Rankings] = {}
    rerankers = {name: partial(adapter_ranking, recipe, path) for name, path in adapters}
    if recipe.chain:
        rerankers[CHAIN] = partial(chain_ranking, recipe.chain)
    for name, opened in rerankers.items():
        ranked[name] = _reranked(recipe, tasks, name, opened, Ledger(place.work / f"{name}.jsonl"))
        runs[name] = {task.name: reranked_run(ranked[name], task, name) for task in tasks}
        costs |= costs_of(name, ranked[name])
        notes += notes_on_ranked(name, ranked[name])
        if applied := fits.get(name):
            ranked[applied.system] = applied_rows(applied.fit, ranked[name], tasks)
            runs[applied.system] = {
                task.name: reranked_run(ranked[applied.system], task, applied.system) for task in tasks
            }
            costs[applied.system] = costs[name]
    if recipe.explanations is not None and ranked:
        rewards = marking(recipe.explanations, recipe.base, recipe.max_reasoning_tokens)
        for rankings in ranked.values():
            mark(tasks, rankings, rewards, "reason_first" if recipe.mode == "reason" else "grade_first")
    found = Evaluation(tasks, runs, ranked, stored, costs, notes)
    provenance = Provenance(evaluate_command(recipe, out), dict(trained), ran_on(ranked))
    record(place.folder, Scoring.of(recipe), found, provenance)
    counts = {"tasks": len(tasks), "queries": sum(len(task.queries) for task in tasks), "systems": len(runs)}
    return place.finish(seed=recipe.seed, counts=counts, notes={"notes": notes})


def _stored(recipe: EvaluateRecipe, tasks: Sequence[Task], path: Path) -> dict[str, StoredRun]:
    return {task.name: stored_run(path, task, recipe.measures, several=len(tasks) > 1) for task in tasks}


def _reranked(
    recipe: EvaluateRecipe, tasks: Sequence[Task], name: str, opened: Callable[[], Ranked], ledger: Ledger
) -> Rankings:
    """Rank every query that the ledger lacks; what ranks is opened only if there is one."""
    done = {(row["task"], row["query_id"]) for row in ledger.rows()}
    every = [(task, query) for task in tasks for query in task.queries if task.documents(query.query_id)]
    waiting = [(task, query) for task, query in every if (task.name, query.query_id) not in done]
    if waiting:
        ranked = opened()
        explained = _explained(recipe, tasks)
        for task, query in track(waiting, what=f"evaluate {name}", unit="queries", total=len(every), done=len(done)):
            count = recipe.explain if (task.name, query.query_id) in explained else 0
            ledger.append([ranked(task, query, count)])
    return {(row["task"], row["query_id"]): row for row in ledger.rows()}


def _explained(recipe: EvaluateRecipe, tasks: Sequence[Task]) -> set[tuple[str, str]]:
    """The queries whose first documents are explained, where the mode does not explain them anyhow."""
    if recipe.mode != "score":
        return set()
    ranked = {task.name: [query.query_id for query in task.queries if task.documents(query.query_id)] for task in tasks}
    return {(task, query_id) for task, ids in ranked.items() for query_id in ids[: recipe.explained_queries]}
