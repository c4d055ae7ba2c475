"""Negatives for queries without a document of grade 0: unjudged documents that BM25 ranks high, and random ones."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from interank.errors import InputError
from interank.ir.bm25 import Bm25, tokenize
from interank.types import Document, Origin, Query

# The Jaccard similarity of words above which a document cannot be a negative beside the other.
_NEAR_DUPLICATE = 0.8
_SPARE = 20


def draw_negatives(
    queries: Sequence[Query],
    judged: Mapping[str, Mapping[str, Document]],
    pool: Mapping[str, Document],
    number: int,
    seed: int,
) -> dict[str, list[tuple[Origin, Document]]]:
    """Draw `number` unjudged documents for each query, half of them by BM25 as far as it finds enough.

    Args:
        queries: The queries without negatives.
        judged: The judged documents, by query and document.
        pool: The documents to draw from.
        number: The number of negatives for each query.
        seed: The seed of the draw.
    """
    if not (queries and number and pool):
        return {}
    excluded = {query.query_id: frozenset(judged[query.query_id]) for query in queries}
    try:
        ranked = Bm25(list(pool.values())).rank(queries, top_k=number + _SPARE, excluded=excluded)
    except InputError:
        # Without a word in any text BM25 cannot rank, and all negatives are random.
        ranked = None
    names = sorted(pool)
    negatives = {}
    for query in queries:
        known = judged[query.query_id]
        words = [_words(document) for document in known.values()]
        hard = ranked.doc_ids(query.query_id) if ranked is not None and query.query_id in ranked else []
        rng = random.Random(f"{seed}/{query.query_id}")
        easy = rng.sample(names, min(len(names), number + len(known) + _SPARE))
        negatives[query.query_id] = list(_chosen(hard, easy, known, words, pool, number))
    return negatives


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
