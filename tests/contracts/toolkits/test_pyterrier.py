"""The transformer in the real PyTerrier."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.presence import need

need("pyterrier")
pytestmark = pytest.mark.filterwarnings("default")


def test_it_ranks_and_tells_what_is_known(reranker: Any, expected: Any) -> None:
    import pandas as pd
    import pyterrier as pt

    from interank.integrations.pyterrier import InterankReranker
    from tests.contracts.texts import QUERY, TEXTS

    rows = [
        {"qid": qid, "query": QUERY, "docno": f"d{place}", "text": text, "score": 0.0, "rank": place}
        for qid in ("1", "2")
        for place, text in enumerate(TEXTS)
    ]
    transformer = InterankReranker(reranker, explain=1)
    found = (pt.Transformer.from_df(pd.DataFrame(rows)) >> transformer)(pd.DataFrame([{"qid": "1", "query": QUERY}]))
    for _, part in found.groupby("qid"):
        assert list(part["text"]) == [text for text, _ in expected]
        assert list(part["score"]) == pytest.approx([item.score for _, item in expected], abs=1e-5)
        assert list(part["rank"]) == [0, 1, 2, 3, 4]
        assert list(part["relevance_grade"]) == [int(item.relevance) for _, item in expected]
        assert part["explanation"].iloc[0] == expected[0][1].explanation
    # What it gave can be ranked again.
    assert list(transformer(found)["score"]) == pytest.approx(list(found["score"]), abs=1e-5)
    with pytest.raises(pt.validate.InputValidationError):
        transformer(pd.DataFrame([{"qid": "1", "docno": "d"}]))
    assert transformer(pd.DataFrame(rows).iloc[:0]).empty
