"""The figures of a reward model's report on a few scores, each reckoned by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from interank.explanations import ExplanationRow, Kind, Writer
from interank.tasks.head.reward_model.card import compared
from interank.tasks.head.reward_model.comparisons import comparisons, dealt_anew, marked
from interank.tasks.head.reward_model.figures import HeldOutScores, key_of, longer_is_better


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


def test_calibration_holds_the_sigmoid_of_a_lead_against_how_often_it_is_right(told: dict[str, Any]) -> None:
    # Leads of q1: -1 -2 2 -1 3 -4, of q2: 2 0 1 -1 2; by bin what was claimed less what was right.
    none, one, two, three, four = (1 / (1 + math.exp(-lead)) for lead in range(5))
    found = told["calibration"]
    assert found["expected_error"] == pytest.approx((none + 4 * one - 1 + 4 * two - 3 + three + four - 1) / 11)
    assert found["confidence"] == pytest.approx((none + 4 * one + 4 * two + three + four) / 11)
    assert found["accuracy"] == pytest.approx(5 / 11), "of two equal scores none is claimed to be better"
    # Two questions are drawn as one of them twice in half of the resamples.
    first, second = (2 * one + 2 * two - 1 + three + four - 1) / 6, (none + 2 * one - 1 + 2 - 2 * two) / 5
    assert (found["low"], found["high"]) == (pytest.approx(second), pytest.approx(first))


def test_one_question_has_no_interval() -> None:
    rows = [each for each in SCORED if each.query_id == "q1"]
    figures = HeldOutScores(rows, least=0.1, longer=True, seed=0)
    told = figures.report({"trained": {key_of(each): SCORED[each] for each in rows}}, [])
    for found in (told["calibration"], told["accuracy"]["trained"], told["length_correlation"]["trained"]):
        assert (found["low"], found["high"]) == (None, None)
    assert compared(told)[1][:2] == ["all", f"{2 / 6:.3f}"]


def test_length_alone_is_whichever_was_mostly_the_better_in_training() -> None:
    figures = HeldOutScores([*SCORED], least=0.1, longer=False, seed=0)
    told = figures.report({"trained": {key_of(each): score for each, score in SCORED.items()}}, [])
    assert counted(told["accuracy"]["length alone"]) == ((11 - 3) / 11, 11, 2)
    assert not longer_is_better(comparisons([*SCORED], least=0.1))
    longer = [row("q1", "teacher", "honest", 1.0, 60), row("q1", "program", "template", 0.0, 40)]
    assert longer_is_better(comparisons(longer, least=0.1))


def test_what_was_dropped_or_is_left_out_is_not_compared_and_a_seed_draws_the_pairs_beyond_the_most() -> None:
    rows = [*SCORED, replace(row("q1", "teacher", "honest", 1.0, 33), mark=None, dropped="contradicted")]
    assert marked(rows) == [*SCORED]
    assert {each.kind for each in marked(rows, ["padding"])} == {"honest", "template"}
    every = [*comparisons([*SCORED], least=0.1)]
    assert len(every) == 11
    assert all(pair.difference > 0.0999 for pair in every)
    # Marks as far apart as `least` are compared, whatever rounding does to .5 - .1.
    assert [pair.better.kind for pair in comparisons([*SCORED][4:], least=0.4)] == [*["honest"] * 4, "padding"]
    drawn = [[*comparisons([*SCORED], least=0.1, most=3, seed=seed)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for pairs in drawn:
        assert [pair.better.query_id for pair in pairs] == ["q1"] * 3 + ["q2"] * 3
        assert all(pair in every for pair in pairs)


def test_marks_are_dealt_anew_among_the_explanations_of_a_document() -> None:
    dealt = dealt_anew([*SCORED], seed=0)
    assert [replace(each, mark=None) for each in dealt] == [replace(each, mark=None) for each in SCORED]
    for question in ("q1", "q2"):
        own, anew = (sorted(str(each.mark) for each in rows if each.query_id == question) for rows in (SCORED, dealt))
        assert own == anew
    assert [each.mark for each in dealt] != [each.mark for each in SCORED]


def test_style_is_how_often_a_teacher_s_words_lead_in_all_and_where_the_marks_are_equal(told: dict[str, Any]) -> None:
    assert counted(told["style"]["teacher_above_student"]) == (1 / 2, 2, 2)
    assert counted(told["style"]["of_equal_marks"]) == (1.0, 1, 1)
    assert told["style"]["of_equal_marks"]["low"] is None
