"""Groups: one of a query's best documents and worse ones, whole, decided by a seed; hard negatives from rankings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interank.errors import InputError
from interank.judgments import JudgedList
from interank.tasks.head.groups import documents_of, drawn, is_held_out, sampled, to_try, with_negatives
from interank.types import Document, Query, Run


def judged(name: str, *grades: int) -> JudgedList:
    documents = tuple(Document(f"{name}-{place}", f"text {place}") for place in range(len(grades)))
    return JudgedList(Query(name, f"query {name}"), documents, grades)


def names(group: JudgedList) -> list[str]:
    return [document.doc_id for document in group.documents]


def test_a_group_has_one_of_the_best_and_worse_ones_once_each() -> None:
    item = judged("q", 0, 2, 1, 0, 2, 0)
    for seed in range(20):
        (group,) = drawn(item, 4, 1, seed)
        assert group.grades[0] == 2
        assert max(group.grades[1:]) < 2
        assert len(set(names(group))) == 4
        kept = dict(zip(names(item), item.grades, strict=True))
        assert [kept[name] for name in names(group)] == list(group.grades)
    assert len({tuple(names(drawn(item, 4, 1, seed)[0])) for seed in range(20)}) > 5


def test_a_query_with_few_negatives_makes_a_smaller_group_and_not_the_same_one_twice() -> None:
    """DeAR fills the group up by drawing with replacement."""
    (group,) = drawn(judged("q", 2, 0, 0), 16, 1, 7)
    assert sorted(names(group)) == ["q-0", "q-1", "q-2"]


def test_further_groups_show_what_the_first_did_not() -> None:
    item = judged("q", 2, 2, *[0] * 6)
    groups = drawn(item, 4, 2, 7)
    assert {names(group)[0] for group in groups} == {"q-0", "q-1"}
    assert {name for group in groups for name in names(group)[1:]} == {f"q-{place}" for place in range(2, 8)}


def test_a_query_whose_documents_are_alike_makes_none() -> None:
    assert drawn(judged("q", 0, 0), 4, 1, 7) == drawn(judged("q", 2), 4, 1, 7) == drawn(judged("q"), 4, 1, 7) == []


def test_weights_go_with_their_documents() -> None:
    item = replace(judged("q", 0, 2, 1, 0, 2, 0), weights=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0))
    relevant = {"q-1": 1.0, "q-2": 2.0, "q-4": 4.0}
    for group in (*drawn(item, 4, 2, 7), to_try(item, 5, 7)):
        assert [f"q-{weight:.0f}" for weight in group.weights] == names(group)
    run = Run.from_orders({"q": ["q-3", "q-1", "q-0"]}, tag="first")
    (renewed,) = with_negatives([item], documents_of([item]), run=run, depth=5)
    assert names(renewed)[3:] == ["q-3", "q-0"]
    assert dict(zip(names(renewed), renewed.weights, strict=True)) == {
        name: relevant.get(name, 1.0) for name in names(renewed)
    }
    assert drawn(judged("q", 2, 0), 4, 1, 7)[0].weights == ()


def test_a_querys_draw_does_not_depend_on_the_others() -> None:
    assert drawn(judged("q", 2, *[0] * 9), 4, 1, 7) == drawn(judged("q", 2, *[0] * 9), 4, 1, 7)
    one, other = (names(drawn(judged(name, 2, *[0] * 9), 4, 1, 7)[0]) for name in ("q", "r"))
    assert [name[2:] for name in one] != [name[2:] for name in other]


def test_a_sample_is_in_order_and_every_query_has_its_chance() -> None:
    lists = [judged(str(number), 2, 0) for number in range(50)]
    seen: dict[str, int] = {}
    for seed in range(200):
        chosen = [int(item.query.query_id) for item in sampled(iter(lists), 10, seed)]
        assert len(chosen) == 10
        assert chosen == sorted(set(chosen))
        for number in chosen:
            seen[str(number)] = seen.get(str(number), 0) + 1
    # Each is drawn 40 times on average, with a standard deviation under 6.
    assert len(seen) == 50
    assert 15 < min(seen.values()) <= max(seen.values()) < 65
    assert sampled(iter(lists), 99, 1) == lists


def test_held_out_queries_are_about_their_share() -> None:
    held = sum(is_held_out(judged(str(number), 2, 0), 0.2, 7) for number in range(500))
    assert 60 < held < 140
    assert not any(is_held_out(judged(str(number), 2, 0), 0.0, 7) for number in range(50))


def test_what_is_tried_keeps_the_best_and_shows_them_in_no_order() -> None:
    item = judged("q", *[0] * 30, 2, 1)
    found = to_try(item, 20, 7)
    assert len(found.documents) == 20
    assert sorted(found.grades, reverse=True)[:2] == [2, 1]
    # The untrained student, whose scores may tie, must not find them at the front.
    places = [to_try(judged(str(n), *[0] * 30, 2), 20, 7).grades.index(2) for n in range(30)]
    assert len(set(places)) > 8


CORPUS = {
    "a": "the red fox sat in the barn",
    "b": "the red hen sat in the barn",
    "c": "a blue owl flew over the wood",
    "d": "red fox, red fox, red fox",
}


DOCUMENTS = {name: Document(name, text) for name, text in CORPUS.items()}


def fox() -> JudgedList:
    return JudgedList(Query("q", "red fox"), (Document("a", CORPUS["a"]), Document("x", "given negative")), (2, 0))


def test_bm25_finds_negatives_that_are_not_relevant() -> None:
    (found,) = with_negatives([fox()], DOCUMENTS, run=None, depth=10)
    assert names(found) == ["a", "d", "b"]
    assert found.grades == (2, 0, 0)
    (first,) = with_negatives([fox()], DOCUMENTS, run=None, depth=1)
    assert names(first) == ["a", "d"]


def test_bm25_finds_negatives_by_the_stems_of_a_language() -> None:
    item = JudgedList(Query("q", "Haus"), (Document("a", "Ein Haus."), Document("x", "given negative")), (2, 0))
    texts = {"b": "Alte H\u00e4user stehen leer.", "c": "Eine Eule."}
    documents = {"a": item.documents[0], **{name: Document(name, text) for name, text in texts.items()}}
    assert names(with_negatives([item], documents, run=None, depth=9)[0]) == ["a"]
    assert names(with_negatives([item], documents, run=None, depth=9, language="german")[0]) == ["a", "b"]


def test_without_a_corpus_the_lists_own_documents_are_searched() -> None:
    other = JudgedList(Query("r", "owl"), (Document("c", CORPUS["c"]), Document("d", CORPUS["d"])), (2, 0))
    lists = [fox(), other]
    assert names(with_negatives(lists, documents_of(lists), run=None, depth=10)[0]) == ["a", "d"]
    with pytest.raises(InputError, match=r"'d'.*two texts.*corpus"):
        documents_of([*lists, JudgedList(Query("s", "?"), (Document("d", "another"),), (2,))])


def test_negatives_of_a_run_are_its_first_that_are_not_relevant() -> None:
    run = Run.from_orders({"q": ["c", "a", "b", "d"]}, tag="first")
    (found,) = with_negatives([fox()], DOCUMENTS, run=run, depth=2)
    assert names(found) == ["a", "c", "b"]
    with pytest.raises(InputError, match=r"run: query 'q' .*'nowhere'.*corpus"):
        with_negatives([fox()], DOCUMENTS, run=Run.from_orders({"q": ["nowhere"]}, tag="x"), depth=2)
    # A query that the run lacks has nothing to be told apart from.
    assert names(with_negatives([fox()], DOCUMENTS, run=Run.from_orders({"r": ["c"]}, tag="x"), depth=2)[0]) == ["a"]
