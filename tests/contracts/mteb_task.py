"""A task of BRIGHT's shape for mteb, made of documents, queries, judgments and candidates at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from interank.types import Document, Query

NAME = "BrightShapedRetrieval"


def task_of(
    documents: Sequence[Document],
    queries: Sequence[Query],
    gold: Mapping[str, Mapping[str, int]],
    candidates: Mapping[str, Sequence[str]],
) -> Any:
    """The task, which loads nothing from anywhere."""

    class BrightShapedRetrieval(AbsTaskRetrieval):  # type: ignore[misc]
        metadata = TaskMetadata(
            name=NAME,
            description="The sample benchmark.",
            dataset={"path": "interank/sample", "revision": "local"},
            type="Retrieval",
            category="t2t",
            eval_splits=["standard"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, *_: Any, **__: Any) -> None:
            if self.data_loaded:
                return
            rows = [{"id": each.doc_id, "text": each.text, "title": each.title} for each in documents]
            part = {
                "corpus": Dataset.from_list(rows),
                "queries": Dataset.from_list([{"id": query.query_id, "text": query.text} for query in queries]),
                "relevant_docs": {name: dict(found) for name, found in gold.items()},
                "top_ranked": {name: list(found) for name, found in candidates.items()},
            }
            self.dataset = {"default": {"standard": part}}
            self.data_loaded = True

    return BrightShapedRetrieval()
