"""BM25, the first stage: a ranking by the words that query and documents share."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interank.errors import InputError
from interank.types import Document, Query, Run, ScoredDoc

if TYPE_CHECKING:
    import numpy as np

# Anserini's defaults, with which BRIGHT's and BEIR's BM25 baselines were made (Kamphuis et al., ECIR 2020).
K1 = 0.9
B = 0.4

TAG = "bm25"

_TOKEN = re.compile("[a-z0-9]+")


def tokenize(text: str) -> list[str]:
    """The text's runs of ASCII letters and digits, in lower case; no stop words, no stemming."""
    return _TOKEN.findall(text.lower())


class Bm25:
    """An index of documents that ranks them by BM25.

    A document scores, summed over the query's tokens (a repeated token counts each time),
    `idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean length))` with
    `idf = ln(1 + (N - df + 0.5) / (df + 0.5))`: ATIRE's term frequency, Lucene's idf.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        """Index the documents' full texts.

        Raises:
            InputError: There is no document, or none holds a token.
        """
        self._vocabulary: dict[str, int] = {}
        token_ids = [
            [self._vocabulary.setdefault(token, len(self._vocabulary)) for token in tokenize(document.full_text)]
            for document in documents
        ]
        if not self._vocabulary:
            raise InputError(
                f"found no letter a-z or digit in {len(token_ids)} documents; "
                "expected a corpus to index for BM25; give one, or bring candidates from elsewhere as a run"
            )
        self._doc_ids = [document.doc_id for document in documents]
        self._positions = {doc_id: position for position, doc_id in enumerate(self._doc_ids)}
        self._index = _build(token_ids, self._vocabulary)

    def rank(self, queries: Iterable[Query], *, top_k: int, excluded: Mapping[str, frozenset[str]] = {}) -> Run:
        """Rank the documents for each query; a query that shares no word with any has an empty ranking.

        Args:
            queries: What to rank for.
            top_k: How many documents to keep for each query; those that score 0 are left out.
            excluded: Documents, by query id, that must not be ranked; they take no place among the `top_k`.

        Raises:
            InputError: `top_k` is under 1.
        """
        if top_k < 1:
            raise InputError(f"found top_k = {top_k}; expected 1 or more documents to keep; raise it")
        rankings = {
            query.query_id: self._ranking(query, top_k, excluded.get(query.query_id, frozenset())) for query in queries
        }
        return Run(rankings, tag=TAG)

    def _ranking(self, query: Query, top_k: int, barred: frozenset[str]) -> list[ScoredDoc]:
        token_ids = [self._vocabulary[token] for token in tokenize(query.text) if token in self._vocabulary]
        if not token_ids:
            return []
        scores: np.ndarray[Any, np.dtype[np.float32]] = self._index.get_scores_from_ids(token_ids)
        scores[[self._positions[doc_id] for doc_id in barred if doc_id in self._positions]] = 0.0
        return [
            ScoredDoc(query.query_id, self._doc_ids[position], float(scores[position]))
            for position in _best(scores, top_k)
        ]


def _build(token_ids: list[list[int]], vocabulary: dict[str, int]) -> Any:
    import bm25s

    # The library sets its logger to DEBUG, so whoever configures logging at all would read its every step.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    index = bm25s.BM25(k1=K1, b=B, method="atire", idf_method="lucene", backend="numpy")
    index.index((token_ids, vocabulary), create_empty_token=False, show_progress=False)
    return index


def _best(scores: np.ndarray[Any, np.dtype[np.float32]], top_k: int) -> list[int]:
    """Positions of the `top_k` highest scores above 0, best first, ties in corpus order."""
    import numpy as np

    found = np.flatnonzero(scores > 0)
    if len(found) > top_k:
        # All that tie with the last kept one must reach the stable sort; a partition alone picks any of them.
        least = np.partition(scores[found], len(found) - top_k)[len(found) - top_k]
        found = found[scores[found] >= least]
    order = np.argsort(-scores[found], kind="stable")[:top_k]
    return [int(position) for position in found[order]]
