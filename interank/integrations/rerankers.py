"""A ranker for the library `rerankers`."""

from __future__ import annotations

from typing import Any

from interank.integrations.reranking import facts, opened, ranked
from interank.versions import require

try:
    from rerankers.documents import Document
    from rerankers.models.ranker import BaseRanker
    from rerankers.results import RankedResults, Result
    from rerankers.utils import prep_docs
finally:
    require("rerankers", "0.10", "rerankers")


class InterankRanker(BaseRanker):  # type: ignore[misc]
    """A ranker with the interface of `rerankers`; grades and explanations go to the documents' metadata."""

    def __init__(self, model_name_or_path: Any, verbose: int = 0, *, explain: int | None = None) -> None:
        """Open a `Reranker`, or wrap one; `explain` is the number of top documents to explain."""
        self.reranker = opened(model_name_or_path)
        self.verbose = verbose
        self.explain = explain

    def score(self, query: str, doc: str) -> float:
        """One document's score."""
        return ranked(self.reranker, query, [doc])[0][1].score

    def rank(self, query: str, docs: Any, doc_ids: list[str] | list[int] | None = None) -> RankedResults:
        """All documents, best first."""
        candidates = prep_docs(docs, doc_ids)
        results = []
        for rank, (place, item) in enumerate(
            ranked(self.reranker, query, [document.text for document in candidates], explain=self.explain), start=1
        ):
            own = candidates[place]
            document = Document(text=own.text, doc_id=own.doc_id, metadata={**own.metadata, **facts(item)})
            results.append(Result(document=document, score=item.score, rank=rank))
        return RankedResults(results=results, query=query, has_scores=True)
