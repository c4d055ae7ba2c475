"""A teacher's scores of the groups that a student will learn from: computed once, in order, and stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from interank.engines.heads import load_head, scores
from interank.engines.late_lists import reads_lists
from interank.engines.released_forms import released_form
from interank.judged_questions import recurs
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

# Scores are stored in portions of at least this many pairs, each up to the end of a query.
_TOGETHER = 64

Pair = tuple[Query, Document]
Scorer = Callable[[Sequence[Pair]], Sequence[float]]
"""Gives pairs their scores, in their order."""


def waiting(groups: Iterable[JudgedList], ledger: Ledger) -> Iterator[list[Pair]]:
    """Yield the pairs that are not scored yet, each once and a query's together, in the portions that are stored.

    One portion is in memory at a time with the ids of all scored pairs; all pairs are, if the groups of some query are
    not consecutive.
    """
    known = {(row["query_id"], row["doc_id"]) for row in ledger.each()}
    for portion in _portions(groups):
        if not known.issuperset((query.query_id, document.doc_id) for query, document in portion):
            yield portion


def _portions(groups: Iterable[JudgedList]) -> Iterator[list[Pair]]:
    if recurs(map(_query_id, groups)):
        groups = chain.from_iterable(grouped(groups, _query_id).values())
    portion: list[Pair] = []
    for _, same in groupby(groups, _query_id):
        if len(portion) >= _TOGETHER:
            yield portion
            portion = []
        pairs = {document.doc_id: (group.query, document) for group in same for document in group.documents}
        portion += pairs.values()
    yield portion


def _query_id(group: JudgedList) -> str:
    return group.query.query_id


def open_teacher(recipe: DistillHead) -> Scorer:
    """The teacher as a scorer: a head, or a released reranker, of which some read a query's documents together.

    Raises:
        ModelError: The teacher is neither, or is not available.
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


def _by_query(rank: Callable[[Query, Sequence[Document]], Ranking]) -> Scorer:
    """A scorer from a function that ranks a query's documents."""

    def scored(pairs: Sequence[Pair]) -> list[float]:
        values: list[float] = []
        for query, same in groupby(pairs, itemgetter(0)):
            documents = [document for _, document in same]
            by_name = {item.doc_id: item.score for item in rank(query, documents)}
            values += [by_name[document.doc_id] for document in documents]
        return values

    return scored


def score(teacher: Scorer, portions: Iterable[Sequence[Pair]], ledger: Ledger, *, total: int) -> None:
    """Have the teacher score the pairs, in `total` portions, and store the scores as they come."""
    for portion in track(portions, what="teacher", unit="portions", total=total):
        scored = [
            ScoredPair(query.query_id, document.doc_id, value, digest(query, document))
            for (query, document), value in zip(portion, teacher(portion), strict=True)
        ]
        ledger.append(item.as_row() for item in scored)
