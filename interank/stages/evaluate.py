"""evaluate: reranks the same candidates with each system; writes runs, measures with intervals, and a report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interank.artifact import Artifact, Existing, Kind, create
from interank.evaluation.candidates import CandidateSettings, Task, load_evaluated, notes_on_candidates, notes_on_texts
from interank.evaluation.explanation_marks import mark
from interank.evaluation.fusion import applied_rows, fits_by_adapter, notes_on_fit
from interank.evaluation.page import Provenance
from interank.evaluation.rankings import Evaluation, Rankings, Scoring, costs_of, notes_on_ranked, ran_on
from interank.evaluation.record import record
from interank.evaluation.scoring import FIRST_STAGE
from interank.evaluation.systems import StoredRun, named_systems, notes_on_stored, reranked_run, stored_run
from interank.evaluation.training_overlap import check_training_data
from interank.plots import begin_import
from interank.recipe import EvaluateRecipe, evaluate_command
from interank.shards import Shard
from interank.stages.evaluating import check as check
from interank.stages.evaluating import links_of
from interank.stages.explanation_rewards import marking
from interank.stages.inputs import described, leaving_nothing_begun, require_inputs
from interank.stages.rankings import FREE, openers, rank_shard, reranked, take_over
from interank.stages.rerankers import notes_on_bases
from interank.stages.shards import refuse_shards
from interank.types import Run


@leaving_nothing_begun
def run(
    recipe: EvaluateRecipe,
    out: Path,
    *,
    existing: Existing = "refuse",
    shard: Shard | None = None,
    shards: Sequence[Artifact] = (),
) -> Artifact:
    """Rerank the candidates with each adapter and score all systems; rankings are stored query by query.

    With `shard` only its share of the queries is ranked. With `shards` their rankings are taken over.
    """
    require_inputs(recipe)
    if shard:
        refuse_shards(recipe)
    named = named_systems([*recipe.runs, *recipe.adapters])
    fits = fits_by_adapter(recipe.fits, recipe.mode, named[len(recipe.runs) :])
    inputs = described(check(recipe), out)
    content = recipe.model_dump(mode="json") | ({"shard": str(shard)} if shard else {})
    kind: Kind = "shard" if shard else "evaluation"
    place = create(out, kind, recipe=content, inputs=inputs, existing=existing, free=FREE)
    if isinstance(place, Artifact):
        return place
    started = time.monotonic()
    adapters = named[len(recipe.runs) :]
    rerankers = openers(recipe, adapters)
    tasks = load_evaluated(CandidateSettings.of(recipe), reranking=bool(rerankers))
    if shard:
        return rank_shard(recipe, tasks, rerankers, place, shard)
    take_over(shards, rerankers, place)
    begin_import()
    notes = [note for applied in fits.values() for note in notes_on_fit(applied, tasks)]
    notes = [*notes_on_texts(tasks), *notes_on_candidates(tasks), *notes, *notes_on_bases(recipe)]
    costs: dict[str, dict[str, Any]] = {FIRST_STAGE: {"seconds": time.monotonic() - started}}
    runs: dict[str, dict[str, Run]] = {FIRST_STAGE: {task.name: task.candidates for task in tasks}}
    stored = {name: _stored(recipe, tasks, path) for name, path in named[: len(recipe.runs)]}
    runs |= {name: {task: each.run for task, each in by_task.items()} for name, by_task in stored.items()}
    if recipe.run is not None and any(task.facts["tied_candidates"] for task in tasks):
        stored = {FIRST_STAGE: _stored(recipe, tasks, recipe.run), **stored}
    notes += [note for name, by_task in stored.items() for note in notes_on_stored(name, by_task)]
    if trained := [*adapters, *links_of(recipe)]:
        overlap, sentences = check_training_data(trained, tasks, Path(str(recipe.benchmark)).name)
        place.write_json("training_overlap.json", overlap)
        notes += sentences
    ranked: dict[str, Rankings] = {}
    for name, open_it in rerankers.items():
        ranked[name] = reranked(recipe, tasks, name, open_it, place)
        runs[name] = _runs(tasks, ranked[name], name)
        costs |= costs_of(name, ranked[name])
        notes += notes_on_ranked(name, ranked[name])
        if applied := fits.get(name):
            ranked[applied.system] = applied_rows(applied.fit, ranked[name], tasks)
            runs[applied.system] = _runs(tasks, ranked[applied.system], applied.system)
            costs[applied.system] = costs[name]
    _mark(recipe, tasks, ranked)
    evaluation = Evaluation(tasks, runs, ranked, stored, costs, notes)
    provenance = Provenance(evaluate_command(recipe, out), dict(trained), ran_on(ranked))
    record(place.folder, Scoring.of(recipe), evaluation, provenance)
    counts = {"tasks": len(tasks), "queries": sum(len(task.queries) for task in tasks), "systems": len(runs)}
    return place.finish(seed=recipe.seed, counts=counts, notes={"notes": notes})


def _runs(tasks: Sequence[Task], rows: Rankings, system: str) -> dict[str, Run]:
    """A system's run on every task."""
    return {task.name: reranked_run(rows, task, system) for task in tasks}


def _mark(recipe: EvaluateRecipe, tasks: Sequence[Task], ranked: Mapping[str, Rankings]) -> None:
    """Mark the explanations, where the recipe asks for it and there are rankings."""
    if recipe.explanations is not None and ranked:
        rewards = marking(recipe.explanations, recipe.base, recipe.max_reasoning_tokens)
        for rankings in ranked.values():
            mark(tasks, rankings, rewards, "reason_first" if recipe.mode in ("reason", "adaptive") else "grade_first")


def _stored(recipe: EvaluateRecipe, tasks: Sequence[Task], path: Path) -> dict[str, StoredRun]:
    return {task.name: stored_run(path, task, recipe.measures, several=len(tasks) > 1) for task in tasks}
