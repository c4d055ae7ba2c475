"""An inverted index with BM25's weights: it indexes analyzed documents, and returns a query's best positions."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]
    Positions = np.ndarray[Any, np.dtype[np.int64]]

# Anserini's defaults, with which BRIGHT's and BEIR's BM25 baselines were made (Kamphuis et al., ECIR 2020).
K1 = 0.9
B = 0.4

Weighting = Literal["counts", "saturated"]
"""The weight of a query's term: its count in the query, or its weight as if the query were a document (BM25Q)."""

# Postings weighted at once, in float64.
_TOGETHER = 1 << 20
_ARRAYS = ("bounds", "documents", "idf", "weights")


class Terms(NamedTuple):
    """The terms of some documents, numbered within these documents."""

    terms: list[str]
    token_ids: Any
    """The token ids of all documents, one document after the other."""
    lengths: Any
    """The number of tokens of each document."""


class Postings:
    """An inverted index of weights in float32, terms by documents.

    Terms are numbered as by gensim's Dictionary: document by document, and alphabetically within each. A float32 sum
    depends on its order, so this order makes scores equal to gensim's to the last bit.
    """

    def __init__(self, documents: Iterable[Sequence[str]], weighting: Weighting) -> None:
        """Index documents, each as its terms."""
        self._index([numbered(documents)], weighting)

    @classmethod
    def joined(cls, parts: Iterable[Terms], weighting: Weighting) -> Postings:
        """Index documents that were numbered in parts; the index equals that of all documents at once."""
        index = cls.__new__(cls)
        index._index(parts, weighting)
        return index

    def _index(self, parts: Iterable[Terms], weighting: Weighting) -> None:
        import numpy as np
        from scipy.sparse import csr_array

        self._weighting = weighting
        self._vocabulary: dict[str, int] = {}
        token_ids, lengths = _renumbered(parts, self._vocabulary)
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        self._document_count = len(lengths)
        self._mean_length = len(token_ids) / max(len(lengths), 1)
        # The sparse matrix takes its index type from these bounds.
        bounds = bounds.astype(np.int32 if bounds[-1] <= np.iinfo(np.int32).max else np.int64)
        occurrences = np.ones(len(token_ids), np.int32)
        by_document = csr_array((occurrences, token_ids, bounds), shape=(len(lengths), len(self._vocabulary)))
        # Each of these arrays is as long as all texts together, so it is freed as early as possible.
        del token_ids, occurrences
        by_document.sum_duplicates()
        by_term = by_document.T.tocsr()
        del by_document

        self._bounds = by_term.indptr
        self._documents = by_term.indices
        frequencies = np.diff(self._bounds)
        self._idf = np.log(self._document_count + 1.0) - np.log(frequencies + 0.5)
        self._weights = np.empty(len(self._documents), np.float32)
        for start, stop in _runs(self._bounds):
            entries = slice(self._bounds[start], self._bounds[stop])
            saturated = _saturated(by_term.data[entries], lengths[self._documents[entries]], self._mean_length)
            weights = np.repeat(self._idf[start:stop], frequencies[start:stop]) * saturated
            self._weights[entries] = weights if weighting == "saturated" else weights * (K1 + 1)

    def save(self, folder: Path) -> None:
        """Write the index to files that `stored` maps into memory, which the processes of a machine share."""
        import numpy as np

        folder.mkdir()
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, f"_{name}"))
        facts = {"weighting": self._weighting, "documents": self._document_count, "mean_length": self._mean_length}
        (folder / "terms.json").write_text(json.dumps(facts | {"terms": list(self._vocabulary)}), "utf-8")

    @classmethod
    def stored(cls, folder: Path) -> Postings:
        """Open an index that `save` wrote."""
        import numpy as np

        index = cls.__new__(cls)
        facts = json.loads((folder / "terms.json").read_text("utf-8"))
        index._vocabulary = {term: number for number, term in enumerate(facts["terms"])}
        index._weighting, index._document_count = facts["weighting"], facts["documents"]
        index._mean_length = facts["mean_length"]
        for name in _ARRAYS:
            # A plain view: a slice of numpy's own class for mapped files takes ten times as long.
            setattr(index, f"_{name}", np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")))
        return index

    @property
    def term_count(self) -> int:
        """The number of different terms in the documents."""
        return len(self._vocabulary)

    def search(self, terms: Iterable[str], top_k: int, *, barred: Sequence[int] = ()) -> tuple[Positions, Floats]:
        """The positions and scores of the `top_k` best documents that score above 0, best first, ties by position.

        The documents at the `barred` positions are left out.
        """
        import numpy as np

        token_ids = [self._vocabulary[term] for term in terms if term in self._vocabulary]
        if not token_ids:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        scores = self._scores(token_ids)
        scores[list(barred)] = 0.0
        best = _best(scores, top_k)
        return best, scores[best]

    def _scores(self, token_ids: list[int]) -> Floats:
        """Every document's score, summed term by term."""
        import numpy as np

        # scipy has no public function that adds columns to a given vector. Its public products would copy the postings
        # for each query, which takes twice as long.
        from scipy.sparse._sparsetools import csc_matvec

        term_ids, counts = np.unique(np.asarray(token_ids, np.int32), return_counts=True)
        if self._weighting == "saturated":
            query_weights = self._idf[term_ids] * _saturated(counts, len(token_ids), self._mean_length)
        else:
            query_weights = counts
        query_weights = query_weights.astype(np.float32)
        starts, ends = self._bounds[term_ids], self._bounds[term_ids + 1]
        bounds = np.stack([np.zeros_like(starts), ends - starts], axis=1)
        scores = np.zeros(self._document_count, np.float32)
        for place, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            documents, weights = self._documents[start:end], self._weights[start:end]
            csc_matvec(
                self._document_count, 1, bounds[place], documents, weights, query_weights[place : place + 1], scores
            )
        return scores


def numbered(documents: Iterable[Sequence[str]]) -> Terms:
    """Number the terms of some documents, in the order of `Postings`."""
    import numpy as np

    vocabulary: dict[str, int] = {}
    token_ids, lengths = array("i"), array("q")
    for terms in documents:
        for term in sorted(set(terms).difference(vocabulary)):
            vocabulary[term] = len(vocabulary)
        token_ids.extend(map(vocabulary.__getitem__, terms))
        lengths.append(len(terms))
    return Terms(list(vocabulary), np.array(token_ids, np.int32), np.array(lengths, np.int64))


def _renumbered(parts: Iterable[Terms], vocabulary: dict[str, int]) -> tuple[Any, Any]:
    """The token ids of all documents in a common vocabulary, which is extended, and the documents' lengths.

    New terms are numbered in their part's order, so that the division into parts does not matter.
    """
    import numpy as np

    token_ids, lengths = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
    for part in parts:
        numbers = np.array([vocabulary.setdefault(term, len(vocabulary)) for term in part.terms], np.int32)
        token_ids.append(numbers[part.token_ids] if len(numbers) else part.token_ids)
        lengths.append(part.lengths)
    return np.concatenate(token_ids), np.concatenate(lengths)


def _runs(bounds: Any) -> Iterator[tuple[int, int]]:
    """Ranges (first, end) of consecutive terms that have about a million postings together."""
    start, terms = 0, len(bounds) - 1
    while start < terms:
        stop = max(start + 1, int(bounds.searchsorted(bounds[start] + _TOGETHER, side="right")) - 1)
        yield start, min(stop, terms)
        start = stop


def without_ties(scores: Floats) -> Floats:
    """Positive scores, best first, with ties broken: each tied score is lowered to the next float32 below.

    `Run` would do the same number by number, which takes longer than the search. The bits of positive floats, read as
    integers, have the same order as the floats.
    """
    import numpy as np

    places = np.arange(len(scores))
    steps = np.minimum.accumulate(scores.view(np.int32) + places) - places
    return steps.astype(np.int32).view(np.float32)


def _saturated(counts: Any, lengths: Any, mean_length: float) -> Any:
    """BM25's saturated term frequency of counts in texts of these lengths, in float64."""
    return counts / (counts + K1 * (1 - B + B * lengths / mean_length))


def _best(scores: Floats, top_k: int) -> Positions:
    """Positions of the `top_k` highest scores above 0, best first, ties by position."""
    import numpy as np

    if top_k < len(scores):
        # All that tie with the last kept one must reach the stable sort; a partition alone picks any of them.
        least = np.partition(scores, len(scores) - top_k)[len(scores) - top_k]
        positions = np.flatnonzero(scores >= least) if least > 0 else np.flatnonzero(scores > 0)
    else:
        positions = np.flatnonzero(scores > 0)
    return positions[np.argsort(-scores[positions], kind="stable")[:top_k]]
