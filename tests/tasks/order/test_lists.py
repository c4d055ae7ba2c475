"""Lists of judged documents, and lists in another order with an explanation that still names the right documents."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interank.judgments import JudgedList, by_question
from interank.tasks.judged_lists import judged_lists, with_shuffled_grades
from interank.tasks.order.lists import ListExample, moved, shuffled
from interank.tasks.order.ordering import Ordering
from interank.types import Document, Example, Query
from tests.support import rule

TURNED = {0: 2, 1: 1, 2: 0}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("[1] answers it, [3] does not.", "[3] answers it, [1] does not."),
        ("[1, 3] and passage [1]", "[3, 1] and passage [3]"),
        ("Passage 1 is best; documents 2, 3 and 1 are not.", "Passage 3 is best; documents 2, 1 and 3 are not."),
        ("Doc #3, or text 1", "Doc #1, or text 3"),
        # Numbers that name no document stay: years, amounts, counts.
        ("In 2019 it took 3 hours, says [1]; 1 of 2.", "In 2019 it took 3 hours, says [3]; 1 of 2."),
        ("Nothing is named.", "Nothing is named."),
    ],
)
def test_what_an_explanation_calls_the_documents_moves_with_them(said: str, expected: str) -> None:
    assert moved(said, TURNED) == expected


@pytest.mark.parametrize(
    "said",
    [
        "[1]-[3] all help.",
        "[1-3] help.",
        "[1] to [3] help.",
        "Passages 1-3 help.",
        "The first passage helps.",
        "The last two documents help.",
        "The passage above helps.",
        "[4] helps.",  # there are three
        "[0] helps.",
    ],
)
def test_what_cannot_be_followed_is_told(said: str) -> None:
    assert moved(said, TURNED) is None


def example(size: int) -> ListExample:
    """A list whose explanation says of each document by number what its text says."""
    documents = tuple(Document(f"d{place}", f"text {place}") for place in range(size))
    reasoning = " ".join(f"[{place + 1}] is d{place}." for place in range(size))
    positions = tuple(random.Random(size).sample(range(size), size))
    return ListExample(Query("q", "?"), documents, Ordering(positions, reasoning))


@given(size=st.integers(2, 20), seed=st.integers(0, 10_000))
def test_a_shuffled_list_ranks_the_same_documents_for_the_same_reasons(size: int, seed: int) -> None:
    before = example(size)
    after = shuffled(before, random.Random(seed))
    assert after is not None
    ranked = [[item.documents[place].doc_id for place in item.ordering.positions] for item in (before, after)]
    assert ranked[0] == ranked[1]
    for place, document in enumerate(after.documents):
        assert f"[{place + 1}] is {document.doc_id}." in after.ordering.reasoning


def test_shuffling_spreads_the_best_over_all_places() -> None:
    before = example(5)
    best = Counter()
    for seed in range(300):
        after = shuffled(before, random.Random(seed))
        assert after is not None
        best[after.ordering.positions[0]] += 1
    assert set(best) == set(range(5))
    assert max(best.values()) < 100


def test_an_explanation_that_tells_places_keeps_its_order() -> None:
    before = example(3)
    told = ListExample(before.query, before.documents, Ordering((0, 1, 2), "The first passage is best."))
    assert shuffled(told, random.Random(0)) is None


def lists_of(examples: list[Example], *, documents: int, seed: int) -> list[JudgedList]:
    return list(judged_lists(by_question(examples), documents=documents, seed=seed))


def test_judged_lists_are_spread_over_the_grades_and_in_no_order() -> None:
    lists = lists_of(rule.examples(0, queries=50), documents=4, seed=1)
    assert len(lists) == 50
    for item in lists:
        assert sorted(item.grades) in ([0, 0, 1, 2], [0, 1, 1, 2])
        assert len({document.doc_id for document in item.documents}) == 4
    places = Counter(item.grades.index(2) for item in lists)
    assert set(places) == {0, 1, 2, 3}


def test_a_list_does_not_depend_on_other_queries_but_on_the_seed() -> None:
    examples = rule.examples(0, queries=3)
    assert lists_of(examples, documents=6, seed=1)[1:] == lists_of(examples[12:], documents=6, seed=1)
    assert lists_of(examples, documents=6, seed=1) != lists_of(examples, documents=6, seed=2)


def test_grades_with_shuffled_grades_are_the_same_ones_on_other_documents() -> None:
    lists = lists_of(rule.examples(0, queries=60), documents=4, seed=1)
    dealt = with_shuffled_grades(lists, seed=3)
    assert dealt == with_shuffled_grades(lists, seed=3)
    assert [replace(new, grades=old.grades) for old, new in zip(lists, dealt, strict=True)] == lists
    assert [sorted(item.grades) for item in dealt] == [sorted(item.grades) for item in lists]
    # One document in four keeps the highest grade by chance.
    kept = sum(new.grades.index(2) == old.grades.index(2) for old, new in zip(lists, dealt, strict=True))
    assert 5 < kept < 27


def test_queries_of_one_grade_have_nothing_to_order() -> None:
    examples = rule.examples(0, queries=2)
    one_grade = [item for item in examples[:12] if item.judgment.relevance == 0]
    assert [item.query for item in lists_of([*one_grade, *examples[12:]], documents=20, seed=0)] == [examples[12].query]
