"""Sorts a teacher's outcomes into judgments with their marks and rejections with their reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from interank import judging
from interank.judgments import Mark, judgment_row
from interank.teacher.annotate import Outcome, Rejection, TeacherJudgment, conflicts
from interank.teacher.balance import surplus
from interank.teacher.queries import QueryRewrite
from interank.teacher.tally import Tally
from interank.types import Example, Pair


class SortedOut(NamedTuple):
    """Judged pairs with their marks, and the rows of rejected pairs; unanswered pairs are in neither."""

    examples: list[Example]
    marks: list[Mark]
    rejected: list[dict[str, Any]]
    unexplained: list[dict[str, Any]]
    """The rows of grades known beforehand that the teacher did not explain; their pairs are in `examples` too."""


def sorted_out(
    pairs: Sequence[Pair], outcomes: Sequence[Outcome], max_grade_share: float | None, seed: int
) -> SortedOut:
    """Sort the pairs' outcomes; judgments over a grade's share are rejected too.

    Raises:
        InputError: `max_grade_share` is so small that no judgment of the training split could stay.
    """
    examples: list[Example] = []
    marks: list[Mark] = []
    rejected: list[dict[str, Any]] = []
    unexplained: list[dict[str, Any]] = []
    for pair, outcome in zip(pairs, outcomes, strict=True):
        if isinstance(outcome, Rejection):
            rejected.append(_row(pair, outcome.reason, outcome.reply))
        elif isinstance(outcome, TeacherJudgment):
            judgment, given = outcome.judgment, pair.given
            example = Example(pair.query, pair.document, judgment, outcome.probabilities, pair.split, pair.source)
            examples.append(replace(example, score=given.score, weight=given.weight) if given else example)
            marks.append(Mark(pair.origin, outcome.agreement, conflicts(pair, judgment)))
            if outcome.unexplained:
                unexplained.append(_row(pair, outcome.unexplained.reason, outcome.unexplained.reply))
    if max_grade_share is None:
        return SortedOut(examples, marks, rejected, unexplained)
    columns = (
        (each.split, int(each.judgment.relevance), each.query.query_id, each.document.doc_id) for each in examples
    )
    left_out = surplus(columns, max_grade_share, seed)
    reason = surplus_reason(max_grade_share)
    surplus_examples = [examples[place] for place in sorted(left_out)]
    rejected += [_row(each, reason, judging.answer(each.judgment, "grade_first")) for each in surplus_examples]
    kept = [place for place in range(len(examples)) if place not in left_out]
    examples, marks = [examples[place] for place in kept], [marks[place] for place in kept]
    removed = {(each.query.query_id, each.document.doc_id) for each in surplus_examples}
    unexplained = [row for row in unexplained if (row["query_id"], row["doc_id"]) not in removed]
    return SortedOut(examples, marks, rejected, unexplained)


def surplus_reason(share: float) -> str:
    """Why a judgment over its grade's share is rejected."""
    return f"left out so that no grade has over {share:g} of the training split"


def _row(pair: Pair | Example, reason: str, reply: str) -> dict[str, Any]:
    return {"query_id": pair.query.query_id, "doc_id": pair.document.doc_id, "reason": reason, "reply": reply}


def rejected_queries(queries: Mapping[str, QueryRewrite]) -> list[dict[str, Any]]:
    """The rows of questions for which the teacher wrote no search queries."""
    return [
        {"query_id": name, "doc_id": None, "reason": written.reason, "reply": written.reply}
        for name, written in queries.items()
        if isinstance(written, Rejection)
    ]


def query_rows(pairs: Sequence[Pair], queries: Mapping[str, QueryRewrite]) -> list[dict[str, Any]]:
    """The rows of the search queries that the teacher wrote, with their questions."""
    questions = {pair.query.query_id: pair for pair in pairs}
    return [
        {
            "query_id": name,
            "query": questions[name].query.text,
            "queries": list(written),
            "split": questions[name].split,
            "site": questions[name].source.site,
        }
        for name, written in queries.items()
        if isinstance(written, tuple)
    ]


def tally_of(outcomes: SortedOut) -> Tally:
    """Counts of the judgments."""
    tally = Tally()
    for example, mark in zip(outcomes.examples, outcomes.marks, strict=True):
        tally.add(judgment_row(example, mark))
    return tally
