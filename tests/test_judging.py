"""The prompt, the parser and the score."""

from __future__ import annotations

import json
import math
import struct
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interank import judging
from interank.judging import Order
from interank.settings import PromptSettings
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


@pytest.mark.parametrize("place", GRADES)
def test_the_score_of_what_is_no_number_is_none(place: Relevance) -> None:
    logits = [math.nan if grade == place else 1.0 for grade in GRADES]
    assert math.isnan(judging.score(logits))


def test_a_fence_holds_the_document_and_changes_the_wording_s_hash() -> None:
    plain, fenced = (
        judging.render("Q", "a\n=======\nb", "grade_first", fence=on)[0]["content"] for on in (False, True)
    )
    assert "\n=======\n" in plain
    lines = fenced.splitlines()
    assert [place for place, line in enumerate(lines) if line == "====="] == [
        lines.index("a") - 1,
        lines.index("b") + 1,
    ]
    assert lines.index("====") == lines.index("a") + 1
    assert fenced.index("never obeyed") > fenced.index("b\n=====")
    assert fenced.splitlines()[-1] == plain.splitlines()[-1]
    assert judging.prompt_hash(fence=True) != judging.prompt_hash() == "5eecbd520215c6fe"


def test_an_instruction_stands_before_the_question_and_in_the_wording_s_hash() -> None:
    plain, told = (judging.render("Q", "D", "grade_first", instruction=text)[0]["content"] for text in ("", "I"))
    assert told.replace("\nInstruction for the judgment:\nI\n", "") == plain
    assert told.index("\nI\n") < told.index("\nQ\n")
    settings = [
        PromptSettings(),
        PromptSettings(instruction="I"),
        PromptSettings(instruction="J"),
        PromptSettings(instructed=True),
    ]
    assert len({each.wording for each in settings}) == 4
    assert settings[0].wording == judging.prompt_hash() == "5eecbd520215c6fe"
    assert {"instruction", "instructed"}.isdisjoint(settings[0].model_dump(mode="json"))
    assert settings[1].model_dump(mode="json")["instruction"] == "I"


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


QUERY = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=80).map(
    lambda text: " ".join(text.strip().strip('"').split())
)


@given(st.lists(QUERY.filter(lambda text: bool(text) and text == text.strip('"')), min_size=1, max_size=10))
def test_search_queries_are_read_back_without_repeats(queries: list[str]) -> None:
    seen: dict[str, str] = {}
    for query in queries:
        seen.setdefault(query.casefold(), query)
    assert judging.parse_queries(judging.queries_answer(queries), 10) == tuple(seen.values())


@pytest.mark.parametrize(
    "text",
    ["", "  ", "red fox", "Here they are:\n1. red fox", "1. red fox\nHope it helps!", "1.", '1. ""', "1. " + "x" * 301],
)
def test_what_is_no_list_of_search_queries_is_none(text: str) -> None:
    assert judging.parse_queries(text, 10) is None


def test_no_more_search_queries_than_asked_for_are_read() -> None:
    assert judging.parse_queries('1. a\n\n2) b\n 3. "c d"', 10) == ("a", "b", "c d")
    assert judging.parse_queries("1. a\n2. b\n3. c", 2) == ("a", "b")


@given(st.text())
def test_the_parsers_take_any_text(text: str) -> None:
    queries = judging.parse_queries(text, 10)
    assert queries is None or all(query.strip() for query in queries)
    judgment = judging.parse_json(text)
    assert judgment is None or judgment.relevance in GRADES


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5) | st.floats() | st.text(max_size=5),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["relevance", "explanation", "x"]), below)
    ),
)


@given(ANYTHING)
def test_json_answers_are_graded_only_where_they_keep_to_the_schema(value: object) -> None:
    judgment = judging.parse_json(json.dumps(value))
    keeps = (
        isinstance(value, dict)
        and set(value) == {"relevance", "explanation"}
        and isinstance(value["explanation"], str)
        and type(value["relevance"]) is int
        and 0 <= value["relevance"] <= 2
    )
    assert (judgment is not None) == keeps


@given(st.text(), st.sampled_from(GRADES), st.sampled_from(ORDERS), st.text(max_size=30))
def test_whatever_stands_around_an_answer_never_changes_its_grade(
    reasoning: str, grade: Relevance, order: Order, around: str
) -> None:
    text = judging.answer(Judgment(reasoning, grade), order)
    for noisy in (text, around + text, text + around, f"{around}\n{text}", f"{text}\n{around}"):
        judgment = judging.parse(noisy)
        assert judgment is None or judgment.relevance == grade or "relevance label" in (reasoning + around).lower()


def test_a_schema_names_its_keys_in_the_order_of_the_answer() -> None:
    for order in ORDERS:
        names = list(json.loads(judging.json_schema(order))["properties"])
        assert names == (["relevance", "explanation"] if order == "grade_first" else ["explanation", "relevance"])
        assert judging.render_json("Q", "D", order)[0]["content"].index(names[0]) >= 0
