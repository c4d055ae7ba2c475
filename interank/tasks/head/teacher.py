"""A teacher's scores of the groups that a student will learn from: computed once, in their order, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from interank.engines.heads import load_head, scores
from interank.engines.late_lists import reads_lists
from interank.engines.released_forms import released_form
from interank.judgments import JudgedList
from interank.ledger import Ledger
from interank.progress import track
from interank.tasks import late_lists, released_rerankers
from interank.tasks.head.groups import ScoredPair, digest
from interank.tasks.ranker_settings import RankerSettings
from interank.tasks.ranks import Ranking
from interank.types import Document, Query, grouped

if TYPE_CHECKING:
    from interank.tasks.head.recipe import DistillHead

# Pairs that are scored and put on file together, and those that end a query; where a killed run stopped is no matter.
_TOGETHER = 64

Asked = tuple[Query, Document]
Scored = Callable[[Sequence[Asked]], Sequence[float]]
"""Gives pairs their scores, in their order."""


def waiting(groups: Iterable[JudgedList], ledger: Ledger) -> list[list[Asked]]:
    """What is still to be scored, each pair once and a query's together, in the portions that are put on file."""
    pairs = {
        (group.query.query_id, document.doc_id): (group.query, document)
        for group in groups
        for document in group.documents
    }
    known = {(row["query_id"], row["doc_id"]) for row in ledger.rows()}
    portions: list[list[Asked]] = [[]]
    for asked in grouped(pairs.values(), lambda pair: pair[0].query_id).values():
        if len(portions[-1]) >= _TOGETHER:
            portions.append([])
        portions[-1] += asked
    return [each for each in portions if not known.issuperset((query.query_id, one.doc_id) for query, one in each)]


def open_teacher(recipe: DistillHead) -> Scored:
    """What scores pairs: a head, or a released reranker, of which some read a query's documents together.

    Raises:
        ModelError: It is none of these, or cannot be had.
    """
    name = str(recipe.teacher)
    if reads_lists(name):
        lists = late_lists.open_ranker(RankerSettings(name))
        return _by_query(lambda query, documents: lists.ordered(query, documents, None))
    if released_form(name) is None:
        head = load_head(name, settings=recipe.teacher_encoding, precision=recipe.teacher_precision)
        return lambda pairs: scores(head, [head.encoder.pair(*pair) for pair in pairs]).tolist()
    # Documents of a query share its prompt's beginning.
    return _by_query(released_rerankers.open_ranker(RankerSettings(name)).scored)


def _by_query(rank: Callable[[Query, Sequence[Document]], Ranking]) -> Scored:
    """Scores by what ranks a query's documents."""

    def scored(pairs: Sequence[Asked]) -> list[float]:
        found: list[float] = []
        for query, same in groupby(pairs, itemgetter(0)):
            documents = [document for _, document in same]
            by_name = {item.doc_id: item.score for item in rank(query, documents)}
            found += [by_name[document.doc_id] for document in documents]
        return found

    return scored


def score(scored: Scored, portions: Sequence[Sequence[Asked]], ledger: Ledger) -> None:
    """Have the teacher score the pairs, and put them on file as they come."""
    for portion in track(portions, what="teacher", unit="portions", total=len(portions)):
        found = [
            ScoredPair(query.query_id, document.doc_id, value, digest(query, document))
            for (query, document), value in zip(portion, scored(portion), strict=True)
        ]
        ledger.append(item.as_row() for item in found)
