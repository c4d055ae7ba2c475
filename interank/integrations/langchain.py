"""A reranking document compressor for LangChain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic import ConfigDict

from interank.integrations.reranking import facts, opened, ranked
from interank.versions import require

try:
    from langchain_core.callbacks import Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
finally:
    require("langchain-core", "1.8", "langchain")


class InterankCompressor(BaseDocumentCompressor):  # type: ignore[misc]
    """Keeps the best documents, each a copy with `relevance_score`, grade and explanation in its metadata."""

    reranker: Any
    """A `Reranker`, or its model's name or folder."""
    top_n: int | None = None
    """The number of documents to keep; None keeps all."""
    explain: int | None = None
    """The number of top documents to explain; None leaves it to the reranker's mode."""
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    def model_post_init(self, context: Any, /) -> None:
        """Open the reranker if a name was given."""
        self.reranker = opened(self.reranker)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """The documents, best first."""
        ranking = ranked(
            self.reranker, query, [document.page_content for document in documents], self.top_n, self.explain
        )
        return [
            documents[place].model_copy(update={"metadata": {**documents[place].metadata, **facts(item)}})
            for place, item in ranking
        ]

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """As `compress_documents`, in a thread."""
        return await asyncio.to_thread(self.compress_documents, documents, query, callbacks)
