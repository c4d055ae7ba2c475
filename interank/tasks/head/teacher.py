"""A teacher's scores of the groups that a student will learn from: computed once, in their order, and kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interank.engines.heads import Head, scores
from interank.judgments import JudgedList
from interank.ledger import Ledger
from interank.progress import track
from interank.tasks.head.groups import ScoredPair, digest
from interank.types import Document, Query

# Pairs that are scored and put on file together; what is together does not depend on where a killed run stopped.
_TOGETHER = 64

Asked = tuple[Query, Document]


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


def score(head: Head, portions: Sequence[Sequence[Asked]], ledger: Ledger) -> None:
    """Have the teacher score the pairs, and put them on file as they come."""
    for portion in track(portions, what="teacher", unit="portions", total=len(portions)):
        found = scores(head, [head.encoder.pair(query, document) for query, document in portion]).tolist()
        scored = [
            ScoredPair(query.query_id, document.doc_id, value, digest(query, document))
            for (query, document), value in zip(portion, found, strict=True)
        ]
        ledger.append(item.as_row() for item in scored)
