"""A teacher's scores of the groups that a student will learn from: computed once, in their order, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from interank.engines.heads import load_head, scores
from interank.engines.yes_or_no import answer_form
from interank.judgments import JudgedList
from interank.ledger import Ledger
from interank.progress import track
from interank.tasks.asked import RankerSettings
from interank.tasks.head.groups import ScoredPair, digest
from interank.tasks.yes_or_no import open_ranker
from interank.types import Document, Query

if TYPE_CHECKING:
    from interank.tasks.head.recipe import DistillHead

# Pairs that are scored and put on file together; what is together does not depend on where a killed run stopped.
_TOGETHER = 64

Asked = tuple[Query, Document]
Scored = Callable[[Sequence[Asked]], Sequence[float]]
"""Gives pairs their scores, in their order."""


def waiting(groups: Iterable[JudgedList], ledger: Ledger) -> list[list[Asked]]:
    """What is still to be scored, each pair once, in the portions in which it is put on file."""
    pairs = {
        (group.query.query_id, document.doc_id): (group.query, document)
        for group in groups
        for document in group.documents
    }
    known = {(row["query_id"], row["doc_id"]) for row in ledger.rows()}
    names = list(pairs)
    portions = [names[start : start + _TOGETHER] for start in range(0, len(names), _TOGETHER)]
    return [[pairs[name] for name in portion] for portion in portions if not known.issuperset(portion)]


def open_teacher(recipe: DistillHead) -> Scored:
    """What scores pairs: a head, or a released reranker that answers yes or no.

    Raises:
        ModelError: It is neither, or cannot be had.
    """
    name = str(recipe.teacher)
    if answer_form(name) is None:
        head = load_head(name, settings=recipe.teacher_encoding, precision=recipe.teacher_precision)
        return lambda pairs: scores(head, [head.encoder.pair(*pair) for pair in pairs]).tolist()
    answers = open_ranker(RankerSettings(name))

    def scored(pairs: Sequence[Asked]) -> list[float]:
        # Documents of a query share its prompt's beginning.
        by_query = ((query, [document for _, document in same]) for query, same in groupby(pairs, itemgetter(0)))
        return [item.score for query, documents in by_query for item in answers.scored(query, documents)]

    return scored


def score(scored: Scored, portions: Sequence[Sequence[Asked]], ledger: Ledger) -> None:
    """Have the teacher score the pairs, and put them on file as they come."""
    for portion in track(portions, what="teacher", unit="portions", total=len(portions)):
        found = [
            ScoredPair(query.query_id, document.doc_id, value, digest(query, document))
            for (query, document), value in zip(portion, scored(portion), strict=True)
        ]
        ledger.append(item.as_row() for item in found)
