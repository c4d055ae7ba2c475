"""evaluate: the first stage and each adapter on the same candidates; runs, scores with intervals, and a report."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from interank.artifact import Artifact, Existing, Workplace, create, describe_input
from interank.engines.models import device
from interank.evaluation.candidates import Task, load_task
from interank.evaluation.report import example, markdown, table
from interank.evaluation.scoring import FIRST_STAGE, PERFECT, RANDOM, score_systems
from interank.ledger import Ledger, write_rows
from interank.measures import check_measures
from interank.progress import track
from interank.recipe import EvaluateRecipe
from interank.reranking.reranker import Reranker
from interank.stages.inputs import require_inputs
from interank.trec import write_run
from interank.types import RankedDocument, Relevance, Run, ScoredDoc

# A ledger's rows by query: the ranking as plain data.
Rankings = dict[str, dict[str, Any]]


def run(recipe: EvaluateRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Rerank the candidates with each adapter and score all of it; rankings are kept query by query."""
    require_inputs(recipe)
    check_measures(recipe.measures)
    given = {"benchmark": recipe.benchmark, "run": recipe.run, "qrels": recipe.qrels}
    given |= {f"adapter.{name}": path for name, path in _named(recipe.adapters)}
    inputs = {name: describe_input(path, out) for name, path in given.items() if path is not None and path.exists()}
    place = create(out, "evaluation", recipe=recipe.model_dump(mode="json"), inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place
    started = time.monotonic()
    task = load_task(recipe)
    seconds = {FIRST_STAGE: time.monotonic() - started}
    ranked: dict[str, Rankings] = {}
    for name, path in _named(recipe.adapters):
        ledger = Ledger(place.work / f"{name}.jsonl")
        _rerank(recipe, task, name, path, ledger)
        rows = {row["query_id"]: row for row in ledger.rows()}
        seconds[name] = sum(row.pop("seconds") for row in rows.values())
        ranked[name] = rows
    return _written(recipe, place, task, ranked, seconds)


def _named(adapters: Sequence[Path]) -> list[tuple[str, Path]]:
    """The adapters by their folders' names, numbered where those are equal or taken by another system."""
    folders = [path.resolve().name for path in adapters]
    taken = {_file_name(name) for name in (FIRST_STAGE, RANDOM, PERFECT)}
    named = []
    for folder, path in zip(folders, adapters, strict=True):
        free = (f"{folder}-{number}" for number in itertools.count(1))
        alone = folders.count(folder) == 1 and _file_name(folder) not in taken
        name = folder if alone else next(name for name in free if name not in folders and _file_name(name) not in taken)
        taken.add(_file_name(name))
        named.append((name, path))
    return named


def _file_name(system: str) -> str:
    return system.replace(" ", "_")


def _rerank(recipe: EvaluateRecipe, task: Task, name: str, path: Path, ledger: Ledger) -> None:
    """Rank every query that the ledger lacks."""
    done = {row["query_id"] for row in ledger.rows()}
    waiting = [query for query in task.queries if query.query_id not in done and task.documents(query.query_id)]
    if not waiting:
        return
    reranker = Reranker.open(path, mode=recipe.mode, max_reasoning_tokens=recipe.max_reasoning_tokens)
    first = task.first_ranked().query_id
    for query in track(waiting, what=f"evaluate {name}", unit="queries", total=len(task.queries), done=len(done)):
        started = time.monotonic()
        ranking = reranker.rank(query, task.documents(query.query_id))
        spent = time.monotonic() - started
        if recipe.explain and query.query_id == first and recipe.mode == "score":
            # The example's explanations are not part of what a ranking costs.
            ranking = reranker.rank(query, task.documents(first), explained=recipe.explain)
        rows = [{**asdict(item), "relevance": int(item.relevance)} for item in ranking]
        ledger.append([{"query_id": query.query_id, "seconds": round(spent, 4), "ranking": rows}])


def _ranked(row: dict[str, Any]) -> RankedDocument:
    first, second, third = row["probabilities"]
    return RankedDocument(**{**row, "relevance": Relevance(row["relevance"]), "probabilities": (first, second, third)})


def _run_of(found: Rankings, task: Task, name: str) -> Run:
    scored = [ScoredDoc(i, item["doc_id"], item["score"]) for i, row in found.items() for item in row["ranking"]]
    run = Run.from_scores(scored, first_stage=task.candidates, tag=f"interank-{name}")
    return run.only(query.query_id for query in task.queries)


def _written(
    recipe: EvaluateRecipe, place: Workplace, task: Task, ranked: Mapping[str, Rankings], seconds: Mapping[str, float]
) -> Artifact:
    """Score the runs and write everything that the artifact holds."""
    runs = {FIRST_STAGE: task.candidates, **{name: _run_of(found, task, name) for name, found in ranked.items()}}
    folder = place.folder / "runs"
    folder.mkdir(exist_ok=True)
    for name, run in runs.items():
        write_run(run, folder / f"{_file_name(name)}.trec")
    # The one to cite: of the last adapter, or of the first stage where there is none.
    write_run(list(runs.values())[-1], place.folder / "run.trec")
    for name, found in ranked.items():
        write_rows(place.folder / "rankings" / f"{name}.jsonl", found.values())
    metrics, per_query = score_systems(task, runs, recipe.measures, seed=recipe.seed)
    place.write_json("metrics.json", metrics)
    write_rows(place.folder / "per_query.jsonl", per_query)
    each = {name: round(total / len(task.queries), 4) for name, total in seconds.items()}
    place.write_json("cost.json", {"device": device(), "seconds_per_query": each})
    shown = _example(task, list(ranked.values())[-1], max(recipe.explain, 3)) if ranked else ""
    (place.folder / "example.txt").write_text(shown + "\n", "utf-8")
    facts = {
        "benchmark": recipe.benchmark,
        "candidates": f"{task.candidates.tag}, depth {recipe.depth}",
        "queries": len(task.queries),
        "mode": recipe.mode,
    }
    report = markdown(table(metrics, each, recipe.measures[0]), shown, facts)
    (place.folder / "report.md").write_text(report, "utf-8")
    return place.finish(seed=recipe.seed, counts={"queries": len(task.queries), "systems": len(runs)})


def _example(task: Task, found: Rankings, shown: int) -> str:
    query = task.first_ranked()
    ranking = [_ranked(item) for item in found[query.query_id]["ranking"][:shown]] if query.query_id in found else []
    gold = {qrel.doc_id: qrel.relevance for qrel in task.qrels if qrel.query_id == query.query_id}
    return example(query.text, ranking, {d: task.corpus[d].full_text for d in (i.doc_id for i in ranking)}, gold)
