"""Scores an evaluation's rankings and writes its files: runs, figures, tables and the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from interank.evaluation import tables
from interank.evaluation.candidates import Task
from interank.evaluation.diagnosis import diagnose
from interank.evaluation.page import Provenance, write_page
from interank.evaluation.rankings import COST_KEYS, MACHINE_KEYS, Evaluation, Scoring
from interank.evaluation.report import example, markdown
from interank.evaluation.scoring import FIRST_STAGE, score_systems
from interank.evaluation.systems import file_name, joined
from interank.ir.measures import judged_by_query
from interank.ir.trec import copy_run, write_run
from interank.ledger import write_rows
from interank.types import RankedDocument, Run

# A row's keys about machine and speed, which rankings/ leaves out.
_NOT_RANKING = (*COST_KEYS, *MACHINE_KEYS, "stages")


def record(folder: Path, scoring: Scoring, evaluation: Evaluation, provenance: Provenance) -> None:
    """Write the evaluation's files into its folder."""
    with ThreadPoolExecutor(1) as pool:
        # Reading and writing these files releases the interpreter's lock, so scoring runs meanwhile.
        writing = pool.submit(_write_runs, folder, evaluation)
        results = score_systems(evaluation.tasks, evaluation.runs, scoring.measures, seed=scoring.seed)
    writing.result()
    for name, rankings in evaluation.rankings.items():
        rows = ({key: value for key, value in row.items() if key not in _NOT_RANKING} for row in rankings.values())
        write_rows(folder / "rankings" / f"{name}.jsonl", rows)
    first = scoring.measures[0]
    for name, rankings in evaluation.rankings.items():
        values = {(row["task"], row["query_id"]): row[name][first] for row in results.per_query}
        results.metrics[name] |= diagnose(evaluation.tasks, rankings, values, scoring.relevant_from, seed=scoring.seed)
    for name, by_task in evaluation.stored.items():
        tied = {task: {"documents": run.run.tied, "ranges": run.bounds} for task, run in by_task.items() if run.bounds}
        results.metrics[name] |= {"ties": tied} if tied else {}
    _write_json(folder / "metrics.json", results.metrics)
    _write_json(folder / "comparisons.json", results.comparisons)
    _write_json(folder / "candidates.json", {task.name: dict(task.facts) for task in evaluation.tasks})
    write_rows(folder / "per_query.jsonl", results.per_query)
    (folder / "table.tex").write_text(tables.latex(results.metrics, first), "utf-8")
    costs = _costs(scoring, evaluation.costs, sum(len(task.queries) for task in evaluation.tasks))
    _write_json(folder / "cost.json", {**_machine(evaluation), "per_query": costs})
    write_rows(folder / "cost.jsonl", _costs_by_query(evaluation))
    shown = _example(evaluation, results.per_query, scoring) if evaluation.rankings else ""
    (folder / "example.txt").write_text(shown + "\n", "utf-8")
    report = markdown(results, costs, scoring.measures, _facts(scoring, evaluation.tasks), evaluation.notes, shown)
    (folder / "report.md").write_text(report, "utf-8")
    write_page(folder / "report.html", scoring, evaluation, results, costs, provenance)


def _write_runs(folder: Path, evaluation: Evaluation) -> None:
    """Write the runs of first stage and rerankers; stored runs stay in place, and the manifest has their digests."""
    files: dict[tuple[str, str], Path] = {(FIRST_STAGE, task.name): task.file for task in evaluation.tasks if task.file}
    files |= {(name, task): run.file for name, by_task in evaluation.stored.items() for task, run in by_task.items()}
    for name in (FIRST_STAGE, *evaluation.rankings):
        by_task = evaluation.runs[name]
        for task, run in by_task.items():
            own = Path(f"{file_name(name)}.trec") if len(by_task) == 1 else Path(file_name(name), f"{task}.trec")
            path = folder / "runs" / own
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_run(run, files.get((name, task)), path)
    # run.trec is the run to cite, of the last system: the last adapter if there is one.
    last, by_task = list(evaluation.runs.items())[-1]
    written = folder / "runs" / f"{file_name(last)}.trec"
    if written.is_file():
        shutil.copyfile(written, folder / "run.trec")
    else:
        source = files.get((last, next(iter(by_task)))) if len(by_task) == 1 else None
        _write_run(joined(by_task), source, folder / "run.trec")


def _write_run(run: Run, source: Path | None, path: Path) -> None:
    if source is None or not copy_run(run, source, path):
        write_run(run, path)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _costs(
    scoring: Scoring, totals: Mapping[str, Mapping[str, Any]], queries: int
) -> dict[str, dict[str, float | None]]:
    """By system, the mean cost of a query."""
    by_system: dict[str, dict[str, float | None]] = {}
    for name, total in totals.items():
        by_system[name] = {key: None if value is None else round(value / queries, 4) for key, value in total.items()}
        if scoring.price_per_hour is not None:
            by_system[name]["price"] = total["seconds"] / queries * scoring.price_per_hour / 3600
    return by_system


def _machine(evaluation: Evaluation) -> dict[str, str | None]:
    """The engine, device and precision of the rerankers; None without rerankers."""
    rows = [row for rankings in evaluation.rankings.values() for row in rankings.values()]
    return {key: ", ".join(sorted({row[key] for row in rows if row.get(key)})) or None for key in MACHINE_KEYS}


def _costs_by_query(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """The cost of each query for each reranker, where it was recorded."""
    for name, rankings in evaluation.rankings.items():
        for row in rankings.values():
            cost = {key: row[key] for key in COST_KEYS if key in row}
            if cost:
                yield {"system": name, "task": row["task"], "query_id": row["query_id"], **cost}


def _facts(scoring: Scoring, tasks: Sequence[Task]) -> dict[str, Any]:
    facts: dict[str, Any] = {"benchmark": scoring.benchmark}
    for task in tasks:
        about = task.facts
        facts[task.name] = (
            f"{about['queries']} queries{_instructed(about)}; candidates: {about['first_stage']} "
            f"(tag {about['tag']}), asked {about['first_stage_queries']} queries, depth {about['depth']}, "
            f"ties {about['ties']}, sha256 {about['digest'][:16]}; qrels: {about['qrels']}"
        )
    return {**facts, "mode": scoring.mode}


def _instructed(about: Mapping[str, Any]) -> str:
    return f", {about['instructed']} of them with an instruction" if "instructed" in about else ""


def _example(evaluation: Evaluation, per_query: Sequence[Mapping[str, Any]], scoring: Scoring) -> str:
    """The last reranker's ranking of the first task's median query; of the explained ones if there are any."""
    task, first = evaluation.tasks[0], scoring.measures[0]
    name, rankings = list(evaluation.rankings.items())[-1]
    values = {row["query_id"]: row[name][first] for row in per_query if row["task"] == task.name}
    rows = {query.query_id: rankings.get((task.name, query.query_id), {"ranking": []}) for query in task.queries}
    ranked = [query for query in task.queries if rows[query.query_id]["ranking"]] or task.queries[:1]
    explained = [query for query in ranked if any(item["explanation"] for item in rows[query.query_id]["ranking"])]
    among = explained or ranked
    query = sorted(among, key=lambda each: values[each.query_id])[(len(among) - 1) // 2]
    ranking = [RankedDocument.of_row(item) for item in rows[query.query_id]["ranking"][: max(scoring.explain, 3)]]
    texts = {document.doc_id: document.full_text for document in task.documents(query.query_id)}
    pool = "the explained rankings" if explained else "all rankings"
    gold = judged_by_query(task.qrels).get(query.query_id, {})
    description = f"{first} {values[query.query_id]:.4f}, the median of {pool} ({len(among)}) by {name}"
    if ranking and gold.get(ranking[0].doc_id, 0) < scoring.relevant_from:
        description += "; its first document is not judged relevant"
    return example(query.text, ranking, texts, gold, description)
