"""What a reranker's probabilities, confidence and quotes are worth is compared with qrels, values and documents."""

from __future__ import annotations

from typing import Any

import pytest

from interank.evaluation.candidates import Task
from interank.evaluation.diagnosis import diagnose
from interank.types import Document, Qrel, Query, Run, ScoredDoc

CORPUS = {"d1": Document("d1", "Steam needs time."), "d2": Document("d2", "Bread sinks."), "d3": Document("d3", "x")}
CANDIDATES = Run({q: [ScoredDoc(q, d, -float(n)) for n, d in enumerate(CORPUS)] for q in ("q1", "q2")}, tag="t")
TASK = Task(
    "task",
    [Query("q1", "Why does it sink?"), Query("q2", "?")],
    [Qrel("q1", "d1", 2), Qrel("q1", "d2", 1), Qrel("q2", "d3", 2)],
    CANDIDATES,
    CORPUS,
)
VALUES = {("task", "q1"): 1.0, ("task", "q2"): 0.0}


def item(doc_id: str, chance: float, explanation: str | None = None) -> dict[str, Any]:
    return {"doc_id": doc_id, "probabilities": [1 - chance, 0.0, chance], "explanation": explanation}


RANKINGS = {
    ("task", "q1"): {"ranking": [item("d1", 0.9, 'It says "steam needs time".'), item("d2", 0.4, 'It says "soda".')]},
    ("task", "q2"): {"ranking": [item("d1", 0.7, "Nothing here."), item("d3", 0.2)]},
}


def test_probabilities_are_compared_with_the_grade_that_counts_as_relevant() -> None:
    found = diagnose([TASK], RANKINGS, VALUES, relevant_from=2, seed=1)["calibration"]
    # d1 of q1 and d3 of q2 are relevant from 2 on; d1 of q2 has no qrels.
    assert found["count"] == 4
    assert found["base_rate"] == 0.5
    assert found["expected_error"] == pytest.approx((0.1 + 0.4 + 0.7 + 0.8) / 4)
    assert diagnose([TASK], RANKINGS, VALUES, relevant_from=1, seed=1)["calibration"]["base_rate"] == 0.75


def test_the_first_document_s_probability_is_the_confidence() -> None:
    found = diagnose([TASK], RANKINGS, VALUES, relevant_from=1, seed=1)["risk_coverage"]
    assert found["risks"] == pytest.approx((0.0, 0.5))


def test_quotes_are_looked_up_in_the_document_that_is_explained() -> None:
    assert diagnose([TASK], RANKINGS, VALUES, relevant_from=1, seed=1)["explanations"] == {
        "count": 3,
        "mean_words": pytest.approx(10 / 3),
        "with_quotes": 2,
        "quotes": 2,
        "quotes_found_share": 0.5,
    }


def test_without_explanations_and_without_quotes_nothing_is_made_up() -> None:
    plain = {key: {"ranking": [{**i, "explanation": None} for i in row["ranking"]]} for key, row in RANKINGS.items()}
    assert "explanations" not in diagnose([TASK], plain, VALUES, relevant_from=1, seed=1)
    unquoted = {key: {"ranking": [{**i, "explanation": "Yes."} for i in r["ranking"]]} for key, r in RANKINGS.items()}
    assert diagnose([TASK], unquoted, VALUES, relevant_from=1, seed=1)["explanations"]["quotes_found_share"] is None


def test_a_query_without_a_ranking_is_left_out_of_the_risks() -> None:
    found = diagnose([TASK], {("task", "q1"): RANKINGS["task", "q1"]}, VALUES, relevant_from=1, seed=1)
    assert found["risk_coverage"]["risks"] == (0.0,)
    assert diagnose([TASK], {}, VALUES, relevant_from=1, seed=1) == {}
