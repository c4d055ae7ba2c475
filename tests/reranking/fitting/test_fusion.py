"""Fusion by hand, what it needs, and a weight that is found where the truth is known."""

from __future__ import annotations

import math
import random
from statistics import fmean

import pytest

from interank.errors import InputError
from interank.ir.measures import score_run
from interank.reranking.fitting import Candidates, Fusion, fit_fusion, fused_run
from interank.reranking.fitting.fusion import comparable
from interank.tasks.documents import by_scores
from interank.types import Qrel, RankedDocument, Relevance, Run


def test_the_scales_by_hand() -> None:
    assert comparable("minmax", [1.0, 3.0, 2.0]) == [0.0, 1.0, 0.5]
    assert comparable("zscore", [1.0, 3.0]) == [-1.0, 1.0]
    assert comparable("rrf", [1.0, 3.0, 2.0]) == [1 / 63, 1 / 61, 1 / 62]


@pytest.mark.parametrize("method", ["minmax", "zscore"])
def test_equal_scores_leave_the_order_to_the_other(method: str) -> None:
    fused = Fusion(method, 0.9).fused([2.0, 2.0, 2.0], [1.0, 3.0, 2.0])  # type: ignore[arg-type]
    assert sorted(range(3), key=lambda place: -fused[place]) == [1, 2, 0]


def test_reciprocal_ranks_take_the_first_stage_s_order_without_its_scores() -> None:
    # The first stage's order is the one given; the model would turn it round.
    assert Fusion("rrf", 0.25).fused([1.0, 2.0, 3.0], None) == pytest.approx(
        [0.25 / 63 + 0.75 / 61, 0.25 / 62 + 0.75 / 62, 0.25 / 61 + 0.75 / 63]
    )


@pytest.mark.parametrize(
    ("first", "said"), [(None, "rrf"), ([1.0], "1 first-stage score .*2 documents"), ([1.0, math.nan], "finite")]
)
def test_scores_that_cannot_be_mixed_are_refused(first: list[float] | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Fusion("zscore", 0.5).fused([1.0, 2.0], first)


def test_an_empty_ranking_stays_empty() -> None:
    assert Fusion("zscore", 0.5).fused([], []) == []
    assert by_scores("q", [], []) == []


def world(seed: int, *, ours: float, first: float, queries: int = 40) -> tuple[list[Candidates], list[Qrel]]:
    """Queries with one relevant document of eight, which both systems see through noise of these sizes."""
    rng = random.Random(seed)
    found, qrels = [], []
    for number in range(queries):
        relevant = rng.randrange(8)
        truth = [float(place == relevant) for place in range(8)]
        seen = [
            (value + rng.gauss(0, ours), 10 * value + rng.gauss(0, 10 * first), place)
            for place, value in enumerate(truth)
        ]
        seen.sort(key=lambda item: -item[1])
        ids = tuple(f"d{place}" for _, _, place in seen)
        found.append(Candidates(f"q{number}", ids, tuple(item[0] for item in seen), tuple(item[1] for item in seen)))
        qrels.append(Qrel(f"q{number}", f"d{relevant}", 1))
    return found, qrels


def ndcg(qrels: list[Qrel], run: Run) -> float:
    return fmean(score_run(qrels, run).per_query["nDCG@10"].values())


def test_the_weight_follows_who_is_right_and_helps_on_other_queries() -> None:
    weights = {}
    for name, ours, first in (("ours", 0.2, 5.0), ("first", 5.0, 0.2), ("both", 0.6, 0.6)):
        queries, qrels = world(1, ours=ours, first=first)
        fusion, tried = fit_fusion(queries, lambda run, qrels=qrels: ndcg(qrels, run))  # type: ignore[misc]
        weights[name] = fusion.weight
        assert {len(values) for values in tried.values()} == {21}
        assert max(map(max, tried.values())) == pytest.approx(ndcg(qrels, fused_run(queries, fusion)), abs=1e-9)
        if name == "both":
            fresh, truth = world(2, ours=ours, first=first)
            alone = [ndcg(truth, fused_run(fresh, Fusion("zscore", weight))) for weight in (0.0, 1.0)]
            assert ndcg(truth, fused_run(fresh, fusion)) > max(alone)
    assert weights["first"] < 0.4 <= weights["both"] <= 0.6 < weights["ours"]


def test_of_equal_weights_the_most_even_is_taken() -> None:
    queries = [Candidates("q", ("a", "b"), (2.0, 1.0), (2.0, 1.0))]
    fusion, _ = fit_fusion(queries, lambda run: ndcg([Qrel("q", "a", 1)], run))
    assert fusion == Fusion("zscore", 0.5)


def test_saturated_grades_make_no_ties() -> None:
    """Scores of log-odds beyond what a probability in float64 can tell apart stay apart when they are mixed."""
    documents = [
        RankedDocument(f"d{place}", 40.0 + place, Relevance.RELEVANT, (0.0, 0.0, 1.0), 1.0, probability=1.0)
        for place in range(50)
    ]
    scores = Fusion("minmax", 0.999).fused([item.score for item in documents], [7.0] * 50)
    ranking = by_scores("q", documents, scores)
    assert [item.doc_id for item in ranking] == [f"d{place}" for place in reversed(range(50))]
    assert len({item.score for item in ranking}) == 50
