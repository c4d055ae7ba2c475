"""The program that plays teacher marks what names the deciding words, and nothing else, above the rest."""

from __future__ import annotations

import pytest

from interank import judging, rubric
from interank.types import Judgment, Relevance
from tests.support import rule
from tests.support.explaining import answer, deciding, good, mark, poor

QUERY = rule.query_text("red", "fox")
BLUE = rule.document_text("blue", "fox", "barn")
RED = rule.document_text("red", "fox", "barn")
OWL = rule.document_text("blue", "owl", "barn")


def test_what_differs_decides_and_where_nothing_does_all_of_it() -> None:
    assert deciding(QUERY, BLUE) == {"blue"}
    assert deciding(QUERY, OWL) == {"blue", "owl"}
    assert deciding(QUERY, RED) == {"red", "fox"}


@pytest.mark.parametrize(("document", "grade"), [(BLUE, 1), (RED, 2), (OWL, 0)])
def test_an_explanation_that_names_what_decides_is_worth_all(document: str, grade: int) -> None:
    assert mark(QUERY, document, grade, good(QUERY, document)) == 1
    assert mark(QUERY, document, grade, poor(QUERY, document)) == 0
    assert mark(QUERY, document, (grade + 1) % 3, good(QUERY, document)) == 0


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("It is blue: other colour, same animal.", 1.0),
        ("It is blue: same colour, other animal.", 0.3),
        ("It is blue.", 0.3),
        (BLUE, 0.3),
        ("It is blue: other colour, same animal, like a pig.", 0.5),
        ("It is not blue: other colour, same animal.", 0.0),
        ('It says "a pink pig": blue, other colour, same animal.', 0.0),
        ('It says "sits in the barn".', 0.0),
        ("It is blue: other colour, same animal. " + "That is the reason. " * 6, 14 / 31),
    ],
)
def test_faults_cost(text: str, worth: float) -> None:
    assert mark(QUERY, BLUE, 1, text) == pytest.approx(worth)


def test_as_a_server_it_explains_and_marks_sets_that_the_rubric_asks_for() -> None:
    texts = [good(QUERY, BLUE), poor(QUERY, BLUE), BLUE]
    answers = [judging.answer(Judgment(text, Relevance.PARTIAL), "grade_first") for text in texts]
    asked = rubric.question(QUERY, BLUE, answers, reasons=True)
    _, content, _ = answer(1, {"messages": [{"role": "user", "content": asked}]})
    assert isinstance(content, dict)
    marks = rubric.reasoned_marks(content["choices"][0]["message"]["content"], 3)
    assert marks == [(1.0, "it names what decides"), (0.0, "it does not"), (0.3, "it does not")]
    given = judging.render_given(QUERY, BLUE, Relevance.PARTIAL)
    _, content, _ = answer(2, {"messages": given, "seed": 3})
    assert isinstance(content, dict)
    assert content["choices"][0]["message"]["content"] == poor(QUERY, BLUE)
