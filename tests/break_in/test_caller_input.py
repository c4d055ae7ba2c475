"""What callers hand over or ask for: minimums, counts, documents of odd types, trec_eval's names, what never meets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from interank.errors import InputError
from interank.ir.measures import canonical_measure, notes_on_meeting, only_judged, score_run
from interank.serving.bytes import read_body
from interank.serving.dialects import dialect_of, read
from interank.serving.requests import Refusal
from interank.tasks.documents import as_documents, as_query, checked_count
from interank.tasks.query_ranking import QueryRanking, set_minimums
from interank.types import Document, Qrel, Query, RankedDocument, Relevance, Run
from tests.break_in.growth import is_linear

RANKING = QueryRanking(
    Query("q", "x"),
    [
        RankedDocument(name, score, Relevance(grade))
        for name, score, grade in (("a", 2.0, 2), ("b", 0.5, 1), ("c", -1.0, 0))
    ],
)


def test_what_does_not_reach_a_minimum_is_left_out() -> None:
    expected: list[tuple[dict[str, Any], str]] = [({"min_score": 0.5}, "ab"), ({"min_grade": 2}, "a"), ({}, "abc")]
    for least, kept in expected:
        assert "".join(item.doc_id for item in RANKING.at_least(set_minimums(least))) == kept
    with pytest.raises(InputError, match="gives no probabilities; interank fit"):
        RANKING.at_least(set_minimums({"min_probability": 0.5}))


@pytest.mark.parametrize(
    "least", [{"min_grade": 3}, {"min_probability": 1.5}, {"min_score": float("nan")}, {"least": 1}]
)
def test_a_minimum_that_nothing_reaches_is_refused(least: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        set_minimums(least)


def test_fields_of_documents_are_shown_once_and_found_in_time_that_grows_with_the_body() -> None:
    def body(size: int) -> dict[str, Any]:
        fields, documents = [f"k{number}" for number in range(size)], [{"k7": "x"}] * size
        return {"query": "q", "documents": documents, "rank_fields": [*fields, "k7"]}

    dialect = dialect_of("/rerank", ())
    assert read(dialect, body(20)).documents[0].text == "k7: x"
    assert is_linear(lambda given: read(dialect, given), body, 2000)
    with pytest.raises(Refusal, match=r"found none of the rank_fields \['k0'.*\.\.\.\] in documents\[0\]") as told:
        read(dialect, {**body(2000), "documents": [{"other": "x"}]})
    assert len(told.value.message) < 300


def test_a_length_of_thousands_of_digits_is_too_large() -> None:
    async def nothing() -> AsyncIterator[bytes]:
        yield b"{}"

    with pytest.raises(Refusal, match="a body of more than 9 bytes"):
        asyncio.run(read_body(nothing(), "9" * 5000, 9))


@pytest.mark.parametrize("count", [-1, 2.0, 1.5, True, "3"])
def test_a_count_is_a_whole_number(count: Any) -> None:
    with pytest.raises(InputError, match="top_k is"):
        checked_count("top_k", count)


def test_documents_and_queries_without_text_are_refused() -> None:
    for documents in ([Document("a", None)], [{"id": 1.5, "text": "x"}], [3]):  # type: ignore[arg-type]
        with pytest.raises(InputError):
            as_documents(documents)  # type: ignore[arg-type]
    for query in (None, ["x"], {"a": 1}, Query("q", None), ""):  # type: ignore[arg-type]
        with pytest.raises(InputError):
            as_query(query)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("printed", "name"),
    [("ndcg_cut_10", "nDCG@10"), ("map", "AP"), ("P_5", "P@5"), ("recall_100", "R@100"), ("recip_rank", "RR")],
)
def test_measures_have_trec_evals_names_too(printed: str, name: str) -> None:
    assert canonical_measure(printed) == name
    with pytest.raises(InputError):
        canonical_measure(f"{printed}_x")


def test_what_nobody_judged_can_be_left_out_and_what_never_meets_is_told() -> None:
    qrels = [Qrel("q1", "b", 1), Qrel("q2", "x", 1)]
    run = Run.from_orders({"q1": ["a", "b"]}, tag="t")
    assert score_run(qrels, run, ["RR"]).per_query["RR"]["q1"] == 0.5
    assert score_run(qrels, only_judged(qrels, run), ["RR"]).per_query["RR"]["q1"] == 1.0
    assert "1 of the 2 judged queries are not in the run" in notes_on_meeting(qrels, run)[0]
    assert "share no query" in notes_on_meeting([Qrel("z", "a", 1)], run)[0]
    assert "ranks no judged document" in notes_on_meeting([Qrel("q1", "z", 1)], run)[0]
