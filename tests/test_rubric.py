"""Marks are read where a reply marks each answer once, and nowhere else."""

from __future__ import annotations

import pytest

from interank import rubric


def test_a_question_shows_each_answer_under_its_number() -> None:
    asked = rubric.question("Why?", "Because.", ["one", "two"], reasons=True)
    assert "Question:\nWhy?" in asked
    assert "Document:\nBecause." in asked
    assert "Explanation 1:\none\n\nExplanation 2:\ntwo" in asked
    assert asked.endswith("as `1: 7 - it names the cause`.")
    assert rubric.question("Why?", "Because.", ["one"]).endswith("a whole number from 0 to 10, and nothing else.")


@pytest.mark.parametrize(
    ("reply", "marks"),
    [
        ("1: 7 - names the cause\n2: 0 - an advert", [(0.7, "names the cause"), (0.0, "an advert")]),
        ("2: 10\n1: 3", [(0.3, ""), (1.0, "")]),
        ("1: 7/10 \u2014 fair\n\n2: 1: short", [(0.7, "fair"), (0.1, "short")]),
        ("1: 7", None),
        ("1: 7\n2: 3\n2: 4", None),
        ("1: 7\n3: 3", None),
        (f"1: 7\n{'9' * 5000}: 3", None),
        ("1: 7\n2: 11", None),
        ("1: 7\n2: good", None),
        ("1: 7.5 - half\n2: 3", None),
        ("", None),
    ],
)
def test_reasoned_marks_are_read_whole_or_not_at_all(reply: str, marks: list[tuple[float, str]] | None) -> None:
    assert rubric.reasoned_marks(reply, 2) == marks


def test_plain_marks_take_no_reasons() -> None:
    assert rubric.marks("1: 7\n2: 0", 2) == [0.7, 0.0]
    assert rubric.marks("1: 7 - names the cause\n2: 0", 2) is None
    assert rubric.marks(f"1: 7\n{'9' * 5000}: 3", 2) is None
    assert rubric.mark("Mark: 6") == 0.6
    assert rubric.mark("Mark: 6 or Mark: 7") is None


@pytest.mark.parametrize(
    ("reply", "mark"),
    [
        ("Mark: 7/10", 0.7),
        ("Mark: 10.", 1.0),
        ("Mark: 3, since it names the cause", 0.3),
        ("Mark: 7.5", None),
        ("Mark: 7,5", None),
        ("Mark: 3/5", None),
        ("Mark: 0 to 10", None),
        ("Mark: 6-8", None),
        ("Mark: 11", None),
        ("Mark: -3", None),
    ],
)
def test_a_mark_that_is_no_whole_number_of_ten_is_none(reply: str, mark: float | None) -> None:
    assert rubric.mark(reply) == mark


def test_the_hash_is_of_the_wording() -> None:
    assert len(rubric.rubric_hash()) == 16
