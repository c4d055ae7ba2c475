"""Places that attacks gain are counted as by hand, on irrelevant documents alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from interank.diagnosis.attacks import ALL, AttackOutcome, drawn_victims, gains, rank
from interank.evaluation.candidates import CandidateSettings, load_evaluated
from tests.support.benchmark import benchmark_folder


def tried(query_id: str, template: str, before: int, after: int, part: str = "held_out") -> AttackOutcome:
    family = "neutral" if part == "control" else "label"
    return AttackOutcome("score", "none", query_id, template, family, part, before, after)  # type: ignore[arg-type]


def test_gains_are_means_over_queries_and_controls_are_no_attacks() -> None:
    items = [
        tried("a", "one", 5, 1),
        tried("a", "two", 5, 5, "practice"),
        tried("b", "one", 2, 3),
        tried("b", "two", 2, 1, "practice"),
        tried("a", "edited", 5, 1, "control"),
    ]
    found = {gain.family: gain for gain in gains(items, seed=1)}
    assert found["label"].places.mean == found[ALL].places.mean == pytest.approx((2 + 0) / 2)
    assert (found["label"].templates, found["label"].above, found["label"].raised) == (2, 2.5, 0.5)
    assert found["neutral"].places.mean == 4
    assert found[f"{ALL}: practice"].places.mean == pytest.approx(0.5)
    assert found[f"{ALL}: held_out"].places.mean == pytest.approx(1.5)


def test_only_irrelevant_documents_are_attacked(tmp_path: Path) -> None:
    folder = benchmark_folder(tmp_path / "benchmark", queries=8)
    [task] = load_evaluated(CandidateSettings(folder), reranking=True)
    relevant = {(qrel.query_id, qrel.doc_id) for qrel in task.qrels if qrel.relevance > 0}
    victims = drawn_victims(task.queries, task.qrels, task.documents, seed=42)[:8]
    chosen = [(victim.query.query_id, victim.documents[victim.place].doc_id) for victim in victims]
    assert len(chosen) == 8
    assert not relevant & set(chosen)
    assert len({victim.place for victim in victims}) > 2
    again = drawn_victims(task.queries, task.qrels, task.documents, seed=1)[:8]
    assert [victim.query.query_id for victim in again] != [victim.query.query_id for victim in victims]


def test_equal_scores_keep_the_order_given() -> None:
    assert [rank([2.0, 3.0, 2.0, 2.0], place) for place in range(4)] == [2, 1, 3, 4]
