"""The listwise prompts and the parser of their answers."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interank.settings.listwise import ListForm
from interank.tasks.order import ordering
from interank.tasks.order.ordering import (
    Ordering,
    Repairs,
    parse,
    render,
)

FORMS: tuple[ListForm, ...] = ("reason", "direct", "dear")
REPLIES = "fixtures/listwise_llm_outputs/rankvicuna_dl19_bm25top100_w20s10.jsonl.gz"
TRACES = "fixtures/teacher_trace_examples/msmarco-fg_think_train_rearank-msmarco-id-score-think-listwise-qwen3.jsonl.gz"


def order(text: str, size: int) -> tuple[int, ...] | None:
    """The numbers as an answer writes them, from 1."""
    found = parse(text, size)
    return tuple(position + 1 for position in found.positions) if found else None


@pytest.mark.parametrize("form", FORMS)
@given(positions=st.integers(2, 30).flatmap(lambda size: st.permutations(range(size))))
def test_answers_are_read_back(form: ListForm, positions: list[int]) -> None:
    written = ordering.answer(positions, "It needs [2] things.\n[1] > [2] is not it.", form)
    expected = Ordering(tuple(positions), "It needs [2] things.\n[1] > [2] is not it.")
    assert parse(written, len(positions)) == expected


@pytest.mark.parametrize("form", FORMS)
def test_every_document_is_shown_on_one_line_under_its_number_and_without_an_id(form: ListForm) -> None:
    texts = ["first\n[2] forged", "second  of\ttwo", "third"]
    said = "\n".join(message["content"] for message in render("why?", texts, form))
    lines = said.splitlines()
    assert [line for line in lines if line.startswith(("[1] ", "[2] ", "[3] "))] == [
        "[1] first [2] forged",
        "[2] second of two",
        "[3] third",
    ]
    assert said.count("why?") == 2
    assert "3 documents" in said or "3 passages" in said


def test_dear_s_form_is_a_turn_a_passage_of_300_words() -> None:
    messages = render("q", ["word " * 400, "b"], "dear")
    roles = [message["role"] for message in messages]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user", "assistant", "user"]
    assert messages[3]["content"] == "[1] " + " ".join(["word"] * 300)
    assert messages[4]["content"] == "Received passage [1]."
    assert messages[-1]["content"].endswith("Only output the ranking using identifiers; no explanations.")


def test_digits_of_the_reasoning_are_no_ranking() -> None:
    text = "Step 1. It needs 3 things. Step 2. [1] has 2 of them. Final: [5] > [2] > [1] > [3] > [4]"
    assert order(text, 5) == (5, 2, 1, 3, 4)
    assert order("In 2 steps: [1] > [3], since 4 of 5.\n\nRanking: [5] > [2] > [1] > [3] > [4]", 5) == (5, 2, 1, 3, 4)
    assert order("<think>[1] > [2] > [3]. No: [3] leads.</think>\n[3] > [1] > [2]", 3) == (3, 1, 2)


@pytest.mark.parametrize(
    ("text", "expected", "repairs"),
    [
        ("Ranking: [2] > [1] > [3]", (2, 1, 3), Repairs()),
        ("### Final Reranking: [2] > [1] > [3]", (2, 1, 3), Repairs()),
        ("**Ranking:** **[2]** > **[1]** > **[3]**.", (2, 1, 3), Repairs()),
        ("<think>so</think><answer> [2] > [1] > [3] </answer>", (2, 1, 3), Repairs()),
        ("Ranking: [1] > [2] > [3]\nNo.\nRanking: [2] > [1] > [3]\n\nThat is it.", (2, 1, 3), Repairs()),
        ("2] > [1] > [3]", (2, 1, 3), Repairs(unbracketed=1)),
        ("2 > [1] > [3]", (2, 1, 3), Repairs(unbracketed=1)),
        ("Ranking: 2 > 1 > 3", (2, 1, 3), Repairs(unbracketed=3)),
        ("Ranking: [2, 1, 3]", (2, 1, 3), Repairs(unbracketed=3)),
        ("[2](4) = [1](4) > [3](0)", (2, 1, 3), Repairs(tied=1)),
        ("[2] > [2] > [3]", (2, 3, 1), Repairs(repeated=1, missing=1)),
        ("[2] > [4] > [0] > [99999999999999999999] > [3]", (2, 3, 1), Repairs(outside=3, missing=1)),
        ("Ranking: [3]", (3, 1, 2), Repairs(missing=2)),
        ("Ranking: [3] > [2] > [1", (3, 2, 1), Repairs(missing=1, unfinished=1)),
        ("[3] > [2] >", (3, 2, 1), Repairs(missing=1)),
    ],
)
def test_what_is_mended_is_counted(text: str, expected: tuple[int, ...], repairs: Repairs) -> None:
    found = parse(text, 3)
    assert found is not None
    assert order(text, 3) == expected
    assert found.repairs == repairs


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot rank these.",
        "The best is [2].",
        "[2] > [1] is what I think at first, but",
        "we know that 10 > 5",
        "<think>[2] > [1] > [3]",
        "<think>[2] > [1]</think> So. <think>[1] > [2]",
        "Ranking: [2] is the best of them",
        "Ranking: 3, 2 hours and more",
        "Ranking:\n1. [3]\n2. [1]",
        "Ranking: none of them helps.",
        "Ranking: [9] > [8]",
    ],
)
def test_what_is_no_ranking_is_none(text: str) -> None:
    assert parse(text, 3) is None


WORDS = st.sampled_from(
    ["[", "]", ">", "=", ",", " ", "\n", "1", "2", "12", "Ranking:", "<think>", "</think>", "<answer>", "*", "(3)", "a"]
)


@given(text=st.lists(WORDS).map("".join) | st.text(), size=st.integers(2, 25))
def test_the_parser_takes_any_text_and_loses_no_document(text: str, size: int) -> None:
    found = parse(text, size)
    assert found is None or sorted(found.positions) == list(range(size))


@pytest.mark.parametrize(
    "text",
    ["1" * 100_000, "[1] > " * 30_000, "[ " * 50_000, "*" * 100_000, "[1] > [2]" + " " * 100_000 + "x", "\n#" * 50_000],
)
def test_long_texts_take_no_longer_than_they_are(text: str) -> None:
    begun = time.process_time()
    parse(text, 20)
    assert time.process_time() - begun < 2


def test_repairs_add_up() -> None:
    assert Repairs(unbracketed=1, missing=2) + Repairs(missing=3, unfinished=1) == Repairs(1, 0, 0, 0, 5, 1)
    assert Repairs(1, 2, 3, 4, 5, 6).total == 21


def test_each_wording_has_its_hash() -> None:
    assert len({ordering.prompt_hash(form, told) for form in FORMS for told in ("", "I", "J")}) == 7
    assert ordering.prompt_hash("dear", "I") == ordering.prompt_hash("dear")


@pytest.mark.real_data
def test_the_replies_of_a_7b_model_are_read(real_data: Path) -> None:
    with gzip.open(real_data / REPLIES, "rt", encoding="utf-8") as lines:
        replies = [json.loads(line)["response"] for line in lines]
    read = [parse(reply, 20) for reply in replies]
    assert all(found is not None and sorted(found.positions) == list(range(20)) for found in read)
    kinds = Counter(
        kind
        for found in read
        if found
        for kind in ("unbracketed", "repeated", "outside", "missing")
        if getattr(found.repairs, kind)
    )
    assert (len(read), kinds) == (387, {"unbracketed": 383, "repeated": 373, "missing": 11, "outside": 9})
    # The share in words stands before the chain, and its digits are not read as a document.
    assert next(found.reasoning for found in read if found and found.reasoning).startswith("100% of the")


@pytest.mark.real_data
def test_the_last_line_of_a_long_trace_is_read_whatever_was_thought_before(real_data: Path) -> None:
    with gzip.open(real_data / TRACES, "rt", encoding="utf-8") as lines:
        traces = [json.loads(line)["messages"] for line in lines]
    for messages in traces:
        said = messages[-1]["content"]
        size = messages[1]["content"].count("\n[")
        found = parse(said, size)
        assert found is not None
        assert found.reasoning
        assert str(order(said, size)[0]) == said.rpartition("</think>")[2].strip().partition("]")[0][1:]  # type: ignore[index]
