"""The pairs that a teacher scores: each once, a query's together, in portions of which one is held."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from interank.judged_questions import Reiterable
from interank.judgments import JudgedList
from interank.ledger import Ledger
from interank.tasks.head.groups import ScoredPair, digest
from interank.tasks.head.teacher import score, waiting
from interank.types import Document, Query


def group(query: int, *documents: int) -> JudgedList:
    texts = tuple(Document(f"d{number}", f"text {number}") for number in documents)
    return JudgedList(Query(f"q{query}", f"query {query}"), texts, (0,) * len(documents))


def ids(portions: Iterator[list[tuple[Query, Document]]]) -> list[list[tuple[str, str]]]:
    return [[(query.query_id, document.doc_id) for query, document in portion] for portion in portions]


def test_a_querys_pairs_are_scored_once_and_together_wherever_its_groups_stand(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "scores.jsonl")
    beside, apart = [group(1, 1, 2), group(1, 2, 3), group(2, 1)], [group(1, 1, 2), group(2, 1), group(1, 2, 3)]
    wanted = [[("q1", "d1"), ("q1", "d2"), ("q1", "d3"), ("q2", "d1")]]
    assert ids(waiting(beside, ledger)) == ids(waiting(apart, ledger)) == wanted


def test_portions_come_one_at_a_time_and_those_scored_before_do_not_come_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "scores.jsonl")
    made: list[int] = []

    def drawn() -> Iterator[JudgedList]:
        for number in range(4):
            made.append(number)
            yield group(number, *range(60))

    groups = Reiterable(drawn)
    portions = ids(waiting(groups, ledger))
    # At least 64 pairs, up to the end of a query.
    assert [len(portion) for portion in portions] == [120, 120]
    made.clear()
    first = next(portion for portion in waiting(groups, ledger))
    # All queries once for whether one comes again, then those of the first portion and the next one's first.
    assert made == [0, 1, 2, 3, 0, 1, 2]
    score(lambda pairs: [1.0] * len(pairs), [first], ledger, total=1)
    assert ids(waiting(groups, ledger)) == portions[1:]
    query, document = first[0]
    assert ledger.rows()[0] == ScoredPair("q0", "d0", 1.0, digest(query, document)).as_row()
