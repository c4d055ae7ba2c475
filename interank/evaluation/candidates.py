"""Loads the benchmark's judged queries and the first-stage candidates that every system reranks."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from interank.errors import InputError
from interank.ir.benchmarks import Benchmark, BenchmarkOptions, load_tasks, read_candidates, read_search_queries
from interank.ir.bm25 import Bm25, FirstStage
from interank.types import Document, Qrel, Query, Run
from interank.wording import counted

# File extensions of runs, in a folder with one run per task.
RUN_ENDS = ("trec", "run", "txt")
TIES = "broken by candidate order; runs from elsewhere as trec_eval reads them"


@dataclass(frozen=True, slots=True)
class CandidateSettings:
    """The evaluated queries of a benchmark and the source of their candidates; keys as in an evaluate recipe."""

    benchmark: Path | None
    tasks: tuple[str, ...] = ()
    split: str | None = None
    qrels: Path | None = None
    qrels_form: Literal["original", "fixed"] = "original"
    documents: Literal["short", "long"] = "short"
    first_stage: FirstStage | None = None
    first_stage_queries: str | None = None
    run: Path | None = None
    depth: int = 100
    queries: int | None = None
    """Size of a seeded sample of the queries; None takes all."""
    seed: int = 42
    instruction: str = ""
    """The instruction of queries that have none of their own."""
    texts: bool = True
    """True if the report shows the documents, even where no model reads them."""

    @classmethod
    def of(cls, recipe: Any) -> CandidateSettings:
        """The settings of an evaluate recipe."""
        return cls(**{item.name: getattr(recipe, item.name) for item in fields(cls)})


@dataclass(frozen=True, slots=True)
class Task:
    """Judged queries with the first stage's candidates, cut at the depth, excluded documents removed."""

    name: str
    queries: list[Query]
    qrels: list[Qrel]
    candidates: Run
    corpus: Mapping[str, Document] | None
    """None if the benchmark has no document texts; stored runs can be scored without them."""
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By query id, the documents that must not be ranked."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Where the candidates come from, and counts from loading the benchmark; written to candidates.json."""
    file: Path | None = None
    """The run file that the candidates were read from; None if they come from elsewhere."""
    without_text: str | None = None
    """Why the report cannot show the documents; None if it can."""

    def documents(self, query_id: str) -> list[Document]:
        """A query's candidates in first-stage order.

        Raises:
            InputError: The benchmark has no document texts.
        """
        if self.corpus is None:
            raise InputError(
                f"the benchmark {self.name} has no document texts, so nothing can be reranked; add its corpus"
            )
        return [self.corpus[item.doc_id] for item in self.candidates.get(query_id, ())]


def load_evaluated(evaluated: CandidateSettings, *, reranking: bool) -> list[Task]:
    """Read the tasks of a benchmark with their candidates; `reranking` requires the documents' texts.

    Candidates come from the given run or first stage, else from the benchmark's own run, else from BM25.

    Raises:
        InputError: A file cannot be used, or queries, qrels and candidates do not belong together.
    """
    if evaluated.benchmark is None:
        raise InputError("no benchmark was given; name one with benchmark=DIR")
    if evaluated.run is not None and evaluated.first_stage is not None:
        raise InputError(
            f"run={evaluated.run} and first_stage={evaluated.first_stage} both give the candidates; leave one "
            "of them out (first_stage=null leaves that one out)"
        )
    form = evaluated.first_stage_queries
    own_file = Path(form) if form and (Path(form).exists() or ".jsonl" in Path(form).suffixes) else None
    wanted = BenchmarkOptions(
        tasks=evaluated.tasks,
        split=evaluated.split,
        qrels=evaluated.qrels,
        qrels_form=evaluated.qrels_form,
        documents=evaluated.documents,
        rewritten=None if own_file else form,
        with_run=evaluated.run is None and evaluated.first_stage is None,
        need_text=reranking or evaluated.run is None,
    )
    benchmarks, missing = _with_texts(evaluated.benchmark, wanted, shown=evaluated.texts)
    several = len(benchmarks) > 1
    tasks = [
        _task(evaluated, benchmark, _own_queries(own_file, benchmark, several=several), several=several)
        for benchmark in benchmarks
    ]
    return [replace(task, without_text=missing) for task in tasks] if missing else tasks


def notes_on_texts(tasks: Sequence[Task]) -> list[str]:
    """The reasons why the report cannot show the documents of some tasks."""
    return list(dict.fromkeys(task.without_text for task in tasks if task.without_text is not None))


def notes_on_candidates(tasks: Sequence[Task]) -> list[str]:
    """Warnings about queries without candidates, which score 0 for every system."""
    notes = []
    for task in tasks:
        empty = [query.query_id for query in task.queries if not task.candidates.get(query.query_id)]
        if empty:
            queries = counted(len(task.queries), "query", "queries")
            notes.append(
                f"{task.name}: {len(empty)} of {queries} have no candidates, the first {empty[0]!r}, and score 0 in "
                f"every line, perfect order too: {task.facts['first_stage']} found nothing for them; check that they "
                "are in the documents' language, or give candidates as run=FILE"
            )
    return notes


def _with_texts(benchmark: Path, wanted: BenchmarkOptions, *, shown: bool) -> tuple[list[Benchmark], str | None]:
    """Load the tasks with document texts, and the reason if texts that only the report needs are missing."""
    if wanted.need_text or not shown or not benchmark.exists():
        return load_tasks(benchmark, wanted), None
    try:
        return load_tasks(benchmark, replace(wanted, need_text=True)), None
    except InputError as error:
        return load_tasks(benchmark, wanted), f"The report shows no documents: {error}"


def file_of_task(path: Path, task: str, ends: Sequence[str], *, several: bool) -> Path:
    """The file of one task: the path itself, or in a folder the file named after the task with one of the extensions.

    Raises:
        InputError: The folder has no such file, or one file was given for several tasks.
    """
    if not path.is_dir():
        if several:
            raise InputError(
                f"{path} is one file, and there are several tasks; give a folder with TASK.{ends[0]} for each"
            )
        return path
    names = [f"{name}.{end}{packed}" for name in _spellings(task) for end in ends for packed in ("", ".gz")]
    file = next((path / name for name in names if (path / name).is_file()), None)
    if file is None:
        raise InputError(f"{path} has no file for the task {task}; add {task}.{ends[0]}, plain or gzipped")
    return file


def _own_queries(path: Path | None, benchmark: Benchmark, *, several: bool) -> Mapping[str, str]:
    return read_search_queries(file_of_task(path, benchmark.name, ["jsonl"], several=several)) if path else {}


def _spellings(task: str) -> list[str]:
    return list(dict.fromkeys((task, task.replace("_", "-"), task.replace("-", "_"))))


def _task(evaluated: CandidateSettings, benchmark: Benchmark, own_queries: Mapping[str, str], *, several: bool) -> Task:
    judged = {qrel.query_id for qrel in benchmark.qrels}
    queries = [
        query.judged_by(evaluated.instruction) for query in benchmark.queries.values() if query.query_id in judged
    ]
    if not queries:
        raise InputError(f"{benchmark.name}: none of its queries is in the qrels; give queries and qrels of one split")
    queries = _sampled(queries, evaluated)
    chosen = {query.query_id for query in queries}
    rewritten = own_queries or benchmark.first_stage_queries or {}
    ranked, source = _candidates(evaluated, benchmark, queries, rewritten, several=several)
    allowed = ranked.without(benchmark.excluded)
    removed = sum(len(ranked.scores(query_id)) - len(allowed.scores(query_id)) for query_id in ranked)
    candidates = allowed.top(evaluated.depth)
    instructed = sum(bool(query.instruction) for query in queries)
    facts = {
        "first_stage": source,
        "tag": candidates.tag,
        "first_stage_queries": evaluated.first_stage_queries or "original",
        "depth": evaluated.depth,
        "ties": TIES,
        "digest": ranking_digest(candidates),
        "queries": len(queries),
        **({"instructed": instructed} if instructed else {}),
        "qrels": evaluated.qrels_form if evaluated.qrels is None else str(evaluated.qrels),
        "excluded_candidates_removed": removed,
        "tied_candidates": ranked.tied,
        "met": {name: count for name, count in benchmark.counts.items() if count},
        "sources": {role: [path.name for path in paths] for role, paths in benchmark.sources.items()},
    }
    return Task(
        benchmark.name,
        queries,
        [qrel for qrel in benchmark.qrels if qrel.query_id in chosen],
        candidates,
        benchmark.corpus,
        benchmark.excluded,
        facts,
        None if evaluated.run is None else file_of_task(evaluated.run, benchmark.name, RUN_ENDS, several=several),
    )


def ranking_digest(run: Run) -> str:
    """The sha256 of each query's document order; scores and tag do not enter it."""
    total = hashlib.sha256()
    for query_id in run:
        total.update(json.dumps([query_id, run.doc_ids(query_id)]).encode() + b"\n")
    return total.hexdigest()


def _sampled(queries: Sequence[Query], evaluated: CandidateSettings) -> list[Query]:
    if evaluated.queries is None or evaluated.queries >= len(queries):
        return list(queries)
    chosen = set(random.Random(evaluated.seed).sample(range(len(queries)), evaluated.queries))
    return [query for place, query in enumerate(queries) if place in chosen]


def _candidates(
    evaluated: CandidateSettings,
    benchmark: Benchmark,
    queries: Sequence[Query],
    rewritten: Mapping[str, str],
    *,
    several: bool,
) -> tuple[Run, str]:
    """The first stage's ranking, and a description of its source."""
    wanted = [query.query_id for query in queries]
    if evaluated.run is not None:
        path = file_of_task(evaluated.run, benchmark.name, RUN_ENDS, several=several)
        return read_candidates(path, benchmark).only(wanted), f"run {path.name}"
    if benchmark.run is not None:
        return benchmark.run.only(wanted), "run of the benchmark"
    name = evaluated.first_stage or "bm25"
    if benchmark.corpus is None:
        raise InputError(f"{benchmark.name} has no texts for {name} to search; give the candidates as run=FILE")
    missing = [query_id for query_id in wanted if rewritten and query_id not in rewritten]
    if missing:
        raise InputError(
            f"{evaluated.first_stage_queries} has no search query for {len(missing)} of the "
            f"{counted(len(wanted), 'query', 'queries')} of {benchmark.name}, the first {missing[0]!r}; "
            "add the missing ones"
        )
    search_queries = [Query(query.query_id, rewritten.get(query.query_id, query.text)) for query in queries]
    index = Bm25(list(benchmark.corpus.values()), name)
    return index.rank(search_queries, top_k=evaluated.depth, excluded=benchmark.excluded), name
