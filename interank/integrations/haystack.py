"""A ranker for Haystack."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from interank.integrations.reranking import facts, opened, ranked
from interank.reranking.reranker import Reranker
from interank.versions import require

try:
    from haystack import Document, component, default_from_dict, default_to_dict
finally:
    require("haystack-ai", "3.4", "haystack")


@component
class InterankRanker:
    """Reranks documents; grades and explanations go to their `meta`."""

    def __init__(self, model: str, top_k: int | None = None, explain: int | None = None, mode: str = "score") -> None:
        """Configure the ranker; `warm_up` opens the model.

        Args:
            model: The model, in a form that `Reranker` accepts.
            top_k: The number of documents to keep; None keeps all.
            explain: The number of top documents to explain; None leaves it to the mode.
            mode: The reranker's mode.
        """
        self.model, self.top_k, self.explain, self.mode = model, top_k, explain, mode
        self._reranker: Reranker | None = None

    def warm_up(self) -> None:
        """Open the model."""
        if self._reranker is None:
            self._reranker = opened(Reranker(self.model, mode=self.mode))  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """The component as plain data, for a stored pipeline."""
        data: dict[str, Any] = default_to_dict(
            self, model=self.model, top_k=self.top_k, explain=self.explain, mode=self.mode
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> InterankRanker:
        """The component of an output of `to_dict`."""
        ranker: InterankRanker = default_from_dict(cls, data)
        return ranker

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """The documents, best first, each a copy with its score."""
        self.warm_up()
        assert self._reranker is not None
        kept = self.top_k if top_k is None else top_k
        texts = [document.content or "" for document in documents]
        ranking = ranked(self._reranker, query, texts, kept, self.explain)
        return {
            "documents": [
                replace(documents[place], score=item.score, meta={**documents[place].meta, **facts(item)})
                for place, item in ranking
            ]
        }

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """As `run`, in a thread."""
        return await asyncio.to_thread(self.run, query, documents, top_k)
