"""The ranker in the real Haystack, alone and in a pipeline that was stored."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from tests.contracts.presence import need

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
need("haystack-ai")
pytestmark = pytest.mark.filterwarnings("default")


def test_it_ranks_in_a_pipeline_and_tells_what_is_known(reranker: Any, expected: Any) -> None:
    from haystack import Document, Pipeline

    from interank.integrations.haystack import InterankRanker
    from tests.contracts.texts import QUERY, TEXTS

    pipeline = Pipeline()
    pipeline.add_component("ranker", InterankRanker(str(reranker.source), top_k=3, explain=1))
    pipeline = Pipeline.loads(pipeline.dumps(), allowed_modules=["interank.*"])
    given = [Document(content=text, meta={"place": place}) for place, text in enumerate(TEXTS)]
    found = pipeline.run({"ranker": {"query": QUERY, "documents": given}})["ranker"]["documents"]
    assert [each.content for each in found] == [text for text, _ in expected[:3]]
    assert [each.score for each in found] == pytest.approx([item.score for _, item in expected[:3]], abs=1e-5)
    assert [each.meta["relevance_grade"] for each in found] == [int(item.relevance) for _, item in expected[:3]]
    assert found[0].meta["explanation"] == expected[0][1].explanation
    assert found[0].meta["place"] == TEXTS.index(expected[0][0])
    ranker = InterankRanker(str(reranker.source))
    again = asyncio.run(ranker.run_async(query=QUERY, documents=given, top_k=2))["documents"]
    assert [each.content for each in again] == [text for text, _ in expected[:2]]
    assert ranker.run(query=QUERY, documents=[]) == {"documents": []}
