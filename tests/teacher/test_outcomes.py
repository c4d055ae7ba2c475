"""What a teacher said is sorted into judgments, rejects and grades without explanations."""

from __future__ import annotations

from interank.teacher.annotate import Rejection, TeacherJudgment
from interank.teacher.outcomes import sorted_out
from interank.types import Judgment, Pair, Relevance
from tests.support import rule


def test_grades_without_explanations_are_those_of_judgments_that_are_kept() -> None:
    examples = rule.examples(1, queries=6)
    pairs = [Pair(item.query, item.document, "train", "answer", item.source) for item in examples]
    silent = Rejection("no sentence", "")
    outcomes = [
        TeacherJudgment(Judgment("", Relevance(item.judgment.relevance)), None, None, silent) for item in examples
    ]
    found = sorted_out(pairs, outcomes, 0.4, 0)
    kept = {(item.query.query_id, item.document.doc_id) for item in found.examples}
    assert len(kept) < len(pairs)
    assert {(row["query_id"], row["doc_id"]) for row in found.unexplained} == kept
