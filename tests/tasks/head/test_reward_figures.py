"""The figures of a reward model's report on a few scores, each reckoned by hand."""

from __future__ import annotations

from typing import Any

import pytest

from interank.explanations import ExplanationRow, Kind, Writer
from interank.tasks.head.reward_model.figures import HeldOutScores, key_of


def row(question: str, writer: Writer, kind: Kind, mark: float, length: int) -> ExplanationRow:
    """An explanation of so many letters."""
    text = f"{writer} {kind} ".ljust(length, "x")
    assert len(text) == length
    more = {"document": "a text", "split": "validation", "site": "s", "relevance": 2, "marks": (mark,)}
    given: dict[str, Any] = {"writer": writer, "kind": kind, "mark": mark, "dropped": None, "marked_by": "m", **more}
    return ExplanationRow(query_id=question, doc_id=f"{question}-d", query="what?", explanation=text, **given)


# By question a teacher's and a student's explanation and two faults, with the score that each gets.
SCORED = {
    row("q1", "teacher", "honest", 1.0, 40): 3.0,
    row("q1", "student", "honest", 0.8, 42): 4.0,
    row("q1", "program", "template", 0.0, 41): 5.0,
    row("q1", "program", "padding", 0.4, 90): 1.0,
    row("q2", "teacher", "honest", 0.9, 50): 2.0,
    row("q2", "student", "honest", 0.9, 30): 1.0,
    row("q2", "program", "template", 0.1, 52): 0.0,
    row("q2", "program", "padding", 0.5, 100): 2.0,
}


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    scores = {key_of(each): score for each, score in SCORED.items()}
    figures = HeldOutScores([*SCORED], least=0.1, longer=True, seed=0)
    return figures.report({"trained": scores}, ["padding"])


def counted(share: dict[str, Any]) -> tuple[Any, int, int]:
    return pytest.approx(share["mean"]), share["pairs"], share["questions"]


def test_accuracy_is_of_pairs_whose_marks_differ(told: dict[str, Any]) -> None:
    # q1: of six pairs template wins all three that it should lose, the teacher's loses to the student's; q2: of five
    # (two marks are equal) the student's loses to padding, which ties with the teacher's.
    assert counted(told["accuracy"]["trained"]) == ((2 + 3.5) / 11, 11, 2)
    # The longer wins: q1 the student's over template, padding over template; q2 padding over template alone.
    assert counted(told["accuracy"]["length alone"]) == ((2 + 1) / 11, 11, 2)


def test_by_kind_holds_honest_explanations_against_that_fault_alone(told: dict[str, Any]) -> None:
    assert {kind: share["left_out"] for kind, share in told["by_kind"].items()} == {"template": False, "padding": True}
    # Both honest ones below the template of q1, and above that of q2.
    assert counted(told["by_kind"]["template"]["trained"]) == (2 / 4, 4, 2)
    # Both above padding of q1; of q2 one beside it and one below.
    assert counted(told["by_kind"]["padding"]["trained"]) == (2.5 / 4, 4, 2)
    assert counted(told["by_kind"]["padding"]["length alone"]) == (0.0, 4, 2)


def test_length_matched_takes_pairs_of_which_none_is_longer_by_more_than_a_tenth(told: dict[str, Any]) -> None:
    # q1: teacher's and student's, teacher's and template, student's and template, all lost; q2: teacher's and template.
    assert counted(told["length_matched"]["trained"]) == (1 / 4, 4, 2)
    assert counted(told["length_matched"]["length alone"]) == (1 / 4, 4, 2)


def test_length_correlation_is_the_mean_of_each_document_s_rho(told: dict[str, Any]) -> None:
    # Ranks by length: q1 1 3 2 4, by score 2 3 4 1, so 1 - 6 * (1 + 0 + 4 + 9) / 60; q2 2 1 3 4, by score 3.5 2 1 3.5,
    # deviations from 2.5 of -.5 -1.5 .5 1.5 and 1 -.5 -1.5 1.
    tied = (-0.5 + 0.75 - 0.75 + 1.5) / (5 * 4.5) ** 0.5
    assert counted(told["length_correlation"]["trained"]) == ((-0.4 + tied) / 2, 2, 2)
    # By mark q1 4 3 1 2, q2 3.5 3.5 1 2.
    by_mark = (-0.5 * 1 - 1.5 * 1 + 0.5 * -1.5 + 1.5 * -0.5) / (5 * 4.5) ** 0.5
    assert counted(told["length_correlation"]["marks"]) == ((1 - 6 * (9 + 0 + 1 + 4) / 60 + by_mark) / 2, 2, 2)


def test_style_is_how_often_a_teacher_s_words_lead_in_all_and_where_the_marks_are_equal(told: dict[str, Any]) -> None:
    assert counted(told["style"]["teacher_above_student"]) == (1 / 2, 2, 2)
    assert counted(told["style"]["of_equal_marks"]) == (1.0, 1, 1)
    assert told["style"]["of_equal_marks"]["low"] is None
