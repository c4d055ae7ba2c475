"""Runs are total orders, also for trec_eval."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interank.errors import InputError
from interank.types import Run, ScoredDoc


def run_of(*scores: float, tag: str = "t") -> Run:
    return Run({"q": [ScoredDoc("q", f"d{place}", score) for place, score in enumerate(scores)]}, tag=tag)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=40))
def test_scores_fall_strictly_also_in_float32(scores: list[float]) -> None:
    run = Run.from_scores((ScoredDoc("q", f"d{i}", s) for i, s in enumerate(scores)), tag="t")
    written = [struct.unpack("f", struct.pack("f", item.score))[0] for item in run.get("q", ())]
    assert all(a > b for a, b in pairwise(written))
    assert [item.score for item in run.get("q", ())] == written


def test_ties_keep_first_stage_order() -> None:
    first = run_of(3.0, 2.0, 1.0)
    scored = [ScoredDoc("q", "d2", 1.0), ScoredDoc("q", "d1", 1.0), ScoredDoc("q", "d0", 0.0)]
    assert Run.from_scores(scored, first_stage=first, tag="t").doc_ids("q") == ["d1", "d2", "d0"]


def test_all_equal_scores_stay_apart() -> None:
    run = run_of(*[0.0] * 5, *[-1e300] * 5)
    values = [item.score for item in run["q"]]
    assert values == sorted(set(values), reverse=True)
    assert len(values) == 10


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_refused(score: float) -> None:
    with pytest.raises(InputError, match="finite"):
        run_of(1.0, score)


def test_a_document_ranked_twice_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        Run({"q": [ScoredDoc("q", "d", 1.0), ScoredDoc("q", "d", 0.5)]}, tag="t")


def test_top_and_without() -> None:
    run = run_of(3.0, 2.0, 1.0)
    assert run.top(2).doc_ids("q") == ["d0", "d1"]
    assert run.without({"q": frozenset({"d0"})}).doc_ids("q") == ["d1", "d2"]
    assert list(run.only(["x", "q"])) == ["q"]


def test_queries_are_asked_for_by_id() -> None:
    run = run_of(3.0, 2.0)
    assert "q" in run
    assert "x" not in run
    assert run.scores("q") == {"d0": 3.0, "d1": 2.0}
    assert run["q"] == (ScoredDoc("q", "d0", 3.0), ScoredDoc("q", "d1", 2.0))
    with pytest.raises(KeyError):
        run.doc_ids("x")


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=30))
def test_trec_evals_order(scores: list[float]) -> None:
    scored = {f"d{place}": score for place, score in enumerate(scores)}
    run = Run.from_trec_eval({"q": scored}, tag="t")
    assert run.doc_ids("q") == sorted(scored, key=lambda doc_id: (scored[doc_id], doc_id), reverse=True)
    falling = list(run.scores("q").values())
    assert all(a > b for a, b in pairwise(falling))
    assert run.tied == sum(scores.count(score) > 1 for score in scores)


def test_a_run_of_rankings_is_the_run_of_their_rows() -> None:
    rankings = {"q1": {"a": 3.0, "b": 3.0, "c": -1.0, "d": 0.5}, "q2": {}, "q3": {"a": 1.0}}
    rows = {q: [ScoredDoc(q, doc_id, score) for doc_id, score in items.items()] for q, items in rankings.items()}
    assert dict(Run.from_rankings(rankings, tag="t")) == dict(Run(rows, tag="t"))
    with pytest.raises(InputError, match="'b'"):
        Run.from_rankings({"q": {"a": 1.0, "b": float("nan")}}, tag="t")
