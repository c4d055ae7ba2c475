"""The postprocessor in the real LlamaIndex."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contracts.presence import need

need("llama-index-core")
pytestmark = pytest.mark.filterwarnings("default")


def test_it_ranks_and_tells_what_is_known(reranker: Any, expected: Any) -> None:
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler
    from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

    from interank.errors import InputError
    from interank.integrations.llama_index import InterankRerank
    from tests.contracts.texts import QUERY, TEXTS

    seen: list[str] = []

    class Listener(BaseEventHandler):
        def handle(self, event: Any, **_: Any) -> None:
            seen.append(event.class_name())

    get_dispatcher().add_event_handler(Listener())
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in TEXTS]
    processor = InterankRerank(reranker, top_n=3, explain=1)
    found = processor.postprocess_nodes(nodes, query_str=QUERY)
    assert [each.node.get_content() for each in found] == [text for text, _ in expected[:3]]
    assert [each.score for each in found] == pytest.approx([item.score for _, item in expected[:3]], abs=1e-5)
    grades = [each.node.metadata["relevance_grade"] for each in found]
    assert grades == [int(item.relevance) for _, item in expected[:3]]
    assert found[0].node.metadata["explanation"] == expected[0][1].explanation
    # What is known of a node is not read by the next model.
    assert found[0].node.get_content(metadata_mode=MetadataMode.LLM) == expected[0][0]
    assert nodes[0].node.metadata == {}
    again = asyncio.run(processor.apostprocess_nodes(nodes, query_str=QUERY))
    assert [each.score for each in again] == [each.score for each in found]
    assert {"ReRankStartEvent", "ReRankEndEvent"} <= set(seen)
    with pytest.raises(InputError, match="found no query"):
        processor.postprocess_nodes(nodes)
