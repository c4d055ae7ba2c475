"""The compressor in the real LangChain."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contracts.presence import need

need("langchain-core")
pytestmark = pytest.mark.filterwarnings("default")


def test_it_ranks_and_tells_what_is_known(reranker: Any, expected: Any) -> None:
    from langchain_core.documents import Document

    from interank.integrations.langchain import InterankCompressor
    from tests.contracts.texts import QUERY, TEXTS

    given = [Document(page_content=text, metadata={"source": str(place)}) for place, text in enumerate(TEXTS)]
    compressor = InterankCompressor(reranker=reranker, top_n=3, explain=1)
    found = compressor.compress_documents(given, QUERY)
    assert [each.page_content for each in found] == [text for text, _ in expected[:3]]
    for each, (text, item) in zip(found, expected, strict=False):
        assert each.metadata["relevance_score"] == pytest.approx(item.score, abs=1e-5)
        assert each.metadata["relevance_grade"] == int(item.relevance)
        assert each.metadata["source"] == str(TEXTS.index(text))
    assert found[0].metadata["explanation"] == expected[0][1].explanation
    assert "relevance_score" not in given[0].metadata
    assert asyncio.run(compressor.acompress_documents(given, QUERY)) == found
    assert compressor.compress_documents([], QUERY) == []
