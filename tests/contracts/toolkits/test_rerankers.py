"""The ranker in the real `rerankers`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contracts.presence import need

need("rerankers")
pytestmark = pytest.mark.filterwarnings("default")


def test_it_ranks_and_tells_what_is_known(reranker: Any, expected: Any) -> None:
    from interank.integrations.rerankers import InterankRanker
    from tests.contracts.texts import QUERY, TEXTS

    ranker = InterankRanker(reranker, explain=1)
    found = ranker.rank(QUERY, TEXTS, doc_ids=[f"d{place}" for place in range(len(TEXTS))])
    assert [each.document.text for each in found] == [text for text, _ in expected]
    assert [each.score for each in found] == pytest.approx([item.score for _, item in expected], abs=1e-5)
    grades = [each.document.metadata["relevance_grade"] for each in found]
    assert grades == [int(item.relevance) for _, item in expected]
    best = found.top_k(1)[0]
    assert best.document.doc_id == f"d{TEXTS.index(expected[0][0])}"
    assert best.document.metadata["explanation"] == expected[0][1].explanation
    assert ranker.score(QUERY, expected[0][0]) == pytest.approx(expected[0][1].score, abs=1e-5)
    assert [each.rank for each in asyncio.run(ranker.rank_async(QUERY, TEXTS))] == [1, 2, 3, 4, 5]
