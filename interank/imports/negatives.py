"""Documents of grade 0 for queries that have none: those that BM25 ranks high and nobody judged, and any others."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from interank.errors import InputError
from interank.ir.bm25 import Bm25, tokenize
from interank.types import Document, Origin, Query

# Documents that share more of their words than this say the same; one cannot be the other's negative.
_NEAR_DUPLICATE = 0.8
_SPARE = 20


def draw_negatives(
    queries: Sequence[Query],
    judged: Mapping[str, Mapping[str, Document]],
    pool: Mapping[str, Document],
    number: int,
    seed: int,
) -> dict[str, list[tuple[Origin, Document]]]:
    """For each query so many documents that nobody judged for it, half of them by BM25 as far as there are such.

    Args:
        queries: Those that lack negatives.
        judged: The documents judged for each query, by query and document.
        pool: Where documents are taken from.
        number: How many for a query.
        seed: Decides the draw.
    """
    if not (queries and number and pool):
        return {}
    excluded = {query.query_id: frozenset(judged[query.query_id]) for query in queries}
    try:
        ranked = Bm25(list(pool.values())).rank(queries, top_k=number + _SPARE, excluded=excluded)
    except InputError:
        # Texts without a letter a-z are not ranked; any others serve.
        ranked = None
    names = sorted(pool)
    found = {}
    for query in queries:
        known = judged[query.query_id]
        words = [_words(document) for document in known.values()]
        hard = ranked.doc_ids(query.query_id) if ranked is not None and query.query_id in ranked else []
        rng = random.Random(f"{seed}/{query.query_id}")
        easy = rng.sample(names, min(len(names), number + len(known) + _SPARE))
        found[query.query_id] = list(_chosen(hard, easy, known, words, pool, number))
    return found


def _chosen(
    hard: Sequence[str],
    easy: Sequence[str],
    known: Mapping[str, Document],
    words: Sequence[frozenset[str]],
    pool: Mapping[str, Document],
    number: int,
) -> Iterator[tuple[Origin, Document]]:
    taken = set(known)
    most = (number + 1) // 2
    origins: tuple[tuple[Origin, Sequence[str]], ...] = (("hard_negative", hard), ("random_negative", easy))
    for origin, names in origins:
        for name in names:
            if len(taken) - len(known) >= (most if origin == "hard_negative" else number):
                break
            document = pool[name]
            if name not in taken and document.full_text.strip() and not _repeats(_words(document), words):
                taken.add(name)
                yield origin, document


def _words(document: Document) -> frozenset[str]:
    return frozenset(tokenize(document.full_text))


def _repeats(words: frozenset[str], others: Sequence[frozenset[str]]) -> bool:
    return any(len(words & other) > _NEAR_DUPLICATE * len(words | other) for other in others)
