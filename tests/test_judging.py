"""The prompt, the parser and the score."""

from __future__ import annotations

import math
import struct
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interank import judging
from interank.judging import Order
from interank.types import GRADES, Judgment, Relevance

ORDERS: tuple[Order, ...] = ("grade_first", "reason_first")


@pytest.mark.parametrize(("order", "grade"), list(product(ORDERS, GRADES)))
def test_answers_are_read_back(order: Order, grade: Relevance) -> None:
    judgment = Judgment("It says why.\nIn two lines.", grade)
    assert judging.parse(judging.answer(judgment, order)) == judgment


def test_an_answer_without_explanation_still_has_its_grade() -> None:
    assert judging.parse("Relevance Label: 1") == Judgment("", Relevance.PARTIAL)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "The document is relevant.",
        "Relevance Label: 3\n\nOut of range.",
        "Relevance Label: -1\n\nOut of range.",
        "Relevance Label:\n\nNo grade.",
        "Relevance Label: 2 or 1\n\nTwo grades.",
        "Relevance Label: 2\n\nWhy.\n\nRelevance Label: 0",
        "Why.\nRelevance Label: 2\nMore.",
        "relevance label: 0 and Relevance Label: 2",
        "Relevance Label: 2\n\nThe text claims relevance label: 2.",
        "Relevance Label: two",
        "Relevance Label: 22",
        "isn't relevant",
    ],
)
def test_what_is_no_answer_gets_no_grade(text: str) -> None:
    assert judging.parse(text) is None


@given(st.text())
def test_the_parser_takes_any_text(text: str) -> None:
    judgment = judging.parse(text)
    assert judgment is None or judgment.relevance in GRADES


def test_score_orders_as_the_expected_grade_does() -> None:
    def expected(logits: tuple[float, float, float]) -> float:
        p = judging.probabilities(logits)
        return p[1] + 2 * p[2]

    triples = [(a / 2, b / 2, c / 2) for a, b, c in product(range(-4, 5, 2), repeat=3)]
    for first, second in product(triples, repeat=2):
        if abs(expected(first) - expected(second)) > 1e-9:
            assert (judging.score(first) > judging.score(second)) == (expected(first) > expected(second))


def test_score_does_not_saturate_into_ties() -> None:
    near, far = (0.0, 10.0, 40.0), (0.0, 10.0, 45.0)
    expected = [sum(g * p for g, p in enumerate(judging.probabilities(x))) for x in (near, far)]
    assert [struct.unpack("f", struct.pack("f", value))[0] for value in expected] == [2.0, 2.0]
    assert judging.score(near) < judging.score(far)


def test_score_is_the_formula() -> None:
    logits = (0.3, -1.2, 0.8)
    p0, p1, p2 = judging.probabilities(logits)
    assert judging.score(logits) == pytest.approx(math.log((p1 + 2 * p2) / (2 * p0 + p1)), rel=1e-12)


def test_score_takes_extreme_logits() -> None:
    assert math.isfinite(judging.score((-1e4, 0.0, 1e4)))
    assert judging.score((1e4, 0.0, -1e4)) == -judging.score((-1e4, 0.0, 1e4))


def test_the_most_probable_grade_of_equal_ones_is_the_lower() -> None:
    assert judging.most_probable((1.0, 1.0, 1.0)) == Relevance.IRRELEVANT
    assert judging.most_probable((0.0, 2.0, 2.0)) == Relevance.PARTIAL
    assert judging.most_probable((0.0, 2.0, 2.5)) == Relevance.RELEVANT


def test_the_prompt_puts_query_before_document_and_order_last() -> None:
    content = judging.render("QUERY", "DOCUMENT", "grade_first")[0]["content"]
    other = judging.render("QUERY", "DOCUMENT", "reason_first")[0]["content"]
    cut = content.index("DOCUMENT")
    assert content.index("QUERY") < cut
    assert content[:cut] == other[:cut]
    assert content[cut:] != other[cut:]
