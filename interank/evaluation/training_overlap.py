"""Overlap between the benchmark and the evaluated adapters' training data, as far as their lineage reaches."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from interank.artifact import MANIFEST, open_artifact
from interank.evaluation.candidates import Task
from interank.ir.overlap import (
    BenchmarkDocument,
    BenchmarkIndex,
    BenchmarkQuery,
    BenchmarkTexts,
    TrainingOverlap,
    training_overlap,
)
from interank.judgments import each_judgment
from interank.types import Document


def check_training_data(
    adapters: Sequence[tuple[str, Path]], tasks: Sequence[Task], benchmark: str
) -> tuple[dict[str, Any], list[str]]:
    """Compare the judgments that adapters were trained on with the benchmark's queries and documents.

    Returns:
        The comparisons by adapter, and notes on each to show beside its score.
    """
    by_adapter: dict[str, Any] = {}
    notes = []
    index: BenchmarkIndex | None = None
    overlaps: dict[str, TrainingOverlap] = {}
    for name, path in adapters:
        if not (path / MANIFEST).is_file():
            by_adapter[name] = {"checked": [], "not_at_hand": []}
            notes.append(f"{name}: names no training data, so its overlap with {benchmark} is unknown")
            continue
        judgments, missing = open_artifact(path).ancestors("judgments")
        for artifact in judgments:
            if artifact.digest not in overlaps:
                index = index or BenchmarkIndex(_texts(tasks, benchmark))
                overlaps[artifact.digest] = training_overlap(each_judgment(artifact.path), index)
            summary = overlaps[artifact.digest].summary()
            notes += [f"{name}, training data {artifact.path.name}: {line}" for line in summary.splitlines()]
        if missing:
            notes.append(
                f"{name}: its training data is no longer at {', '.join(missing)}, so it was not compared with "
                f"{benchmark}; put it back and evaluate again"
            )
        checked = [{"digest": a.digest, **overlaps[a.digest].to_json()} for a in judgments]
        by_adapter[name] = {"checked": checked, "not_at_hand": missing}
    return by_adapter, notes


def _texts(tasks: Sequence[Task], benchmark: str) -> Iterator[BenchmarkTexts]:
    for task in tasks:
        queries = tuple(BenchmarkQuery(query.query_id, query.text) for query in task.queries)
        documents = None if task.corpus is None else functools.partial(_documents, task.corpus)
        yield BenchmarkTexts(benchmark, task.name, queries, documents)


def _documents(corpus: Mapping[str, Document]) -> Iterator[BenchmarkDocument]:
    for document in corpus.values():
        yield BenchmarkDocument(document.doc_id, document.full_text)
