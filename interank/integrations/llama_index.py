"""A reranking node postprocessor for LlamaIndex."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import PrivateAttr

from interank.errors import InputError
from interank.integrations.reranking import facts, opened, ranked
from interank.reranking.reranker import Reranker
from interank.versions import require

try:
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
finally:
    require("llama-index-core", "0.14", "llama-index")
_dispatcher = get_dispatcher(__name__)


class InterankRerank(BaseNodePostprocessor):  # type: ignore[misc]
    """Gives nodes the reranker's scores, best first; grades and explanations go to the nodes' metadata."""

    top_n: int | None = None
    explain: int | None = None
    _reranker: Reranker = PrivateAttr()

    def __init__(self, reranker: Any, **settings: Any) -> None:
        """Wrap a `Reranker`, or open one; `top_n` nodes are kept, and the top `explain` nodes are explained."""
        super().__init__(**settings)
        self._reranker = opened(reranker)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex stores this postprocessor."""
        return "InterankRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError("found no query to rank the documents for; give query_str or query_bundle")
        _dispatcher.event(
            ReRankStartEvent(
                query=query_bundle,
                nodes=nodes,
                top_n=len(nodes) if self.top_n is None else self.top_n,
                model_name=str(self._reranker.source),
            )
        )
        texts = [each.node.get_content(metadata_mode=MetadataMode.EMBED) for each in nodes]
        reranked = []
        for place, item in ranked(self._reranker, query_bundle.query_str, texts, self.top_n, self.explain):
            node = nodes[place].node.model_copy()
            node.metadata = {**node.metadata, **facts(item)}
            # Models must not read the added metadata with the node's text.
            own = [*facts(item)]
            node.excluded_embed_metadata_keys = [*node.excluded_embed_metadata_keys, *own]
            node.excluded_llm_metadata_keys = [*node.excluded_llm_metadata_keys, *own]
            reranked.append(NodeWithScore(node=node, score=item.score))
        _dispatcher.event(ReRankEndEvent(nodes=reranked))
        return reranked

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._postprocess_nodes, nodes, query_bundle)
