"""Which documents hold which terms, with BM25's weights: analyzed documents in, the best positions for a query out."""

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
"""What a query's term weighs: how often it stands there, or what it would weigh in a document (BM25Q)."""

# Postings that are weighed together, in float64.
_TOGETHER = 1 << 20
_ARRAYS = ("bounds", "documents", "idf", "weights")


class Terms(NamedTuple):
    """The terms of some documents, numbered among themselves."""

    terms: list[str]
    token_ids: Any
    """Of all documents, one after the other."""
    lengths: Any


class Postings:
    """An inverted index of weights in float32, terms by documents.

    Terms are numbered as gensim's Dictionary does it, document by document and alphabetically within each: a score in
    float32 depends on the order in which it is summed, so this order makes equal scores equal to the last bit.
    """

    def __init__(self, documents: Iterable[Sequence[str]], weighting: Weighting) -> None:
        """Index documents, each as its terms."""
        self._index([numbered(documents)], weighting)

    @classmethod
    def joined(cls, parts: Iterable[Terms], weighting: Weighting) -> Postings:
        """Index documents that were numbered in parts, to the same as if they had been indexed together."""
        made = cls.__new__(cls)
        made._index(parts, weighting)
        return made

    def _index(self, parts: Iterable[Terms], weighting: Weighting) -> None:
        import numpy as np
        from scipy.sparse import csr_array

        self._weighting = weighting
        self._vocabulary: dict[str, int] = {}
        token_ids, lengths = _renumbered(parts, self._vocabulary)
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        self._document_count = len(lengths)
        self._mean_length = len(token_ids) / max(len(lengths), 1)
        # Indices are as wide as these bounds.
        bounds = bounds.astype(np.int32 if bounds[-1] <= np.iinfo(np.int32).max else np.int64)
        occurrences = np.ones(len(token_ids), np.int32)
        by_document = csr_array((occurrences, token_ids, bounds), shape=(len(lengths), len(self._vocabulary)))
        # Each of these arrays is as long as all texts together; none is held longer than it is needed.
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
            here = slice(self._bounds[start], self._bounds[stop])
            saturated = _saturated(by_term.data[here], lengths[self._documents[here]], self._mean_length)
            weights = np.repeat(self._idf[start:stop], frequencies[start:stop]) * saturated
            self._weights[here] = weights if weighting == "saturated" else weights * (K1 + 1)

    def save(self, folder: Path) -> None:
        """Write the index for `stored`, of which processes on one machine share the memory."""
        import numpy as np

        folder.mkdir()
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, f"_{name}"))
        told = {"weighting": self._weighting, "documents": self._document_count, "mean_length": self._mean_length}
        (folder / "terms.json").write_text(json.dumps(told | {"terms": list(self._vocabulary)}), "utf-8")

    @classmethod
    def stored(cls, folder: Path) -> Postings:
        """Open what `save` wrote."""
        import numpy as np

        made = cls.__new__(cls)
        told = json.loads((folder / "terms.json").read_text("utf-8"))
        made._vocabulary = {term: number for number, term in enumerate(told["terms"])}
        made._weighting, made._document_count = told["weighting"], told["documents"]
        made._mean_length = told["mean_length"]
        for name in _ARRAYS:
            setattr(made, f"_{name}", np.load(folder / f"{name}.npy", mmap_mode="r"))
        return made

    @property
    def term_count(self) -> int:
        """How many different terms the documents hold."""
        return len(self._vocabulary)

    def search(self, terms: Iterable[str], top_k: int, *, barred: Sequence[int] = ()) -> tuple[Positions, Floats]:
        """The positions of the `top_k` documents that score highest above 0, best first, ties in order, and the scores.

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
        """Every document's score, summed term after term."""
        import numpy as np

        # A sum of columns into a vector that is there already is what scipy's products are made of, but none of its
        # public functions; with those, the postings would be copied for each query, which takes twice as long.
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
    """Number the terms of some documents."""
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
    """The terms of all documents by their numbers in the vocabulary, which grows; the documents' lengths.

    A part's new terms get their numbers in the order that they have there, so that the parts do not matter.
    """
    import numpy as np

    token_ids, lengths = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
    for part in parts:
        here = np.array([vocabulary.setdefault(term, len(vocabulary)) for term in part.terms], np.int32)
        token_ids.append(here[part.token_ids] if len(here) else part.token_ids)
        lengths.append(part.lengths)
    return np.concatenate(token_ids), np.concatenate(lengths)


def _runs(bounds: Any) -> Iterator[tuple[int, int]]:
    """Terms that stand together and have some million postings among them: the first, and the one behind the last."""
    start, terms = 0, len(bounds) - 1
    while start < terms:
        stop = max(start + 1, int(bounds.searchsorted(bounds[start] + _TOGETHER, side="right")) - 1)
        yield start, min(stop, terms)
        start = stop


def without_ties(scores: Floats) -> Floats:
    """Scores above 0, best first, each that is not below the one before at the next float32 below it.

    `Run` would do the same number by number, which takes longer than the search. As integers, the bits of positive
    floats count up with them.
    """
    import numpy as np

    places = np.arange(len(scores))
    steps = np.minimum.accumulate(scores.view(np.int32) + places) - places
    return steps.astype(np.int32).view(np.float32)


def _saturated(counts: Any, lengths: Any, mean_length: float) -> Any:
    """BM25's term frequency: what counts in texts of these lengths come to, in float64."""
    return counts / (counts + K1 * (1 - B + B * lengths / mean_length))


def _best(scores: Floats, top_k: int) -> Positions:
    """Positions of the `top_k` highest scores above 0, best first, ties in order."""
    import numpy as np

    if top_k < len(scores):
        # All that tie with the last kept one must reach the stable sort; a partition alone picks any of them.
        least = np.partition(scores, len(scores) - top_k)[len(scores) - top_k]
        found = np.flatnonzero(scores >= least) if least > 0 else np.flatnonzero(scores > 0)
    else:
        found = np.flatnonzero(scores > 0)
    return found[np.argsort(-scores[found], kind="stable")[:top_k]]
