"""Indexed texts, and what of each stands in other texts: runs of words, near-duplicates, the whole."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from interank.ir.overlap.minhash import SHINGLE, Bytes, MinHashes, sketch
from interank.ir.overlap.postings import Postings
from interank.ir.overlap.weights import Floats, WordIndex, WordWeights
from interank.ir.overlap.words import Grams, Hashes, Numbers, Words, encode, grams

How = Literal["post id", "url", "exact", "13-grams", "minhash", "shingles", "words", "title"]

GRAM = 13
# Grids of digits and boilerplate make runs of thirteen that innocent texts share.
LEAST_ALPHABETIC = 5
# Of an indexed text's 13-grams, so many in another text make it contaminated.
SHARE = 0.3
# Of MinHash's estimate. Two of three runs of three words are then common. Between the 1,776 questions of the real dumps
# that are no BRIGHT query and BRIGHT's queries the largest similarity is .07.
NEAR = 0.5
# Where nine words in ten of a text are another's, but not in runs: see `QueryIndex`.
SHINGLE_SHARE = 0.25
SHINGLES_BEYOND = 8
COSINE = 0.5
LEAST_SHARED_WORDS = 4
# A text of which every run is its own, a quarter of a query for example.
OWN_SHARE = 0.5
TITLE_COSINE = 0.8
LEAST_TITLE_WORDS = 3
LONGEST_TITLE = 30

# A document keeps so many 13-grams at most, 12 bytes each; of a longer one those are kept whose hash ends in enough
# zeros, which leaves 64 to 128, and the share is estimated from them (standard error at .3 below .06).
_KEPT_GRAMS = 128
_BATCH = 1024
# Sorting takes twice the memory of what is sorted: with so many documents at a time about 0.6 GB.
CHUNK = 100_000

_Item = TypeVar("_Item")


class Match(NamedTuple):
    """What a text (by number in its batch) has of an indexed text (by number)."""

    asking: int
    indexed: int
    how: How
    overlap: float


class Sketched(NamedTuple):
    """A batch of texts as all the forms that an index is asked with."""

    words: Words
    grams: Grams
    shingles: Grams
    bands: Grams
    signatures: Bytes

    @property
    def size(self) -> int:
        """How many texts there are."""
        return len(self.words.counts)


def sketched(texts: Sequence[str]) -> Sketched:
    """The texts in all forms."""
    words = encode(texts)
    shingles = grams(words, SHINGLE)
    bands, signatures = sketch(_long_enough(shingles, words), len(texts))
    return Sketched(words, grams(words, GRAM, least_alphabetic=LEAST_ALPHABETIC), shingles, bands, signatures)


def batches(items: Iterable[_Item], size: int = _BATCH) -> Iterator[list[_Item]]:
    """The items in lists of this size; the last may be shorter."""
    stream = iter(items)
    while batch := list(islice(stream, size)):
        yield batch


class TextIndex:
    """Texts by their 13-grams, their MinHash signatures and their whole."""

    def __init__(self, batches_of_texts: Iterable[Sequence[str]], *, least_words: int, sampled: bool = False) -> None:
        """Index texts, numbered in the order they come.

        Args:
            batches_of_texts: The texts; at most one batch is held at a time.
            least_words: Shorter texts equal others by chance and are not found as a whole.
            sampled: Keep a bounded number of 13-grams of each text; for many texts.
        """
        runs, wholes, sketches = [], [], []
        totals: list[Numbers] = []
        self.texts = 0
        for texts in batches_of_texts:
            forms = sketched(texts)
            found = _sampled(forms.grams, forms.size) if sampled else forms.grams
            totals.append(found.counts(forms.size))
            runs.append(_numbered(found, self.texts))
            wholes.append(_numbered(_whole(forms.words, least_words), self.texts))
            sketches.append((_numbered(forms.bands, self.texts), forms.signatures))
            self.texts += len(texts)
        self._totals = np.concatenate(totals) if totals else np.empty(0, np.int64)
        self._grams = Postings(runs)
        self._wholes = Postings(wholes)
        self._minhashes = MinHashes(sketches)
        self._least_words = least_words
        self._sampled = sampled

    @property
    def nbytes(self) -> int:
        """What the arrays take in memory."""
        return self._grams.nbytes + self._wholes.nbytes + self._minhashes.nbytes + self._totals.nbytes

    def matches(self, texts: Sketched) -> Iterator[Match]:
        """What each text has of each indexed one: the whole, 13-grams, near-duplicates.

        Of shares below `SHARE` a sampled index gives only each text's largest, since boilerplate is in ever so many.
        """
        whole = _whole(texts.words, self._least_words)
        places, indexed = self._wholes.find(whole.keys)
        for asking, found in zip(whole.owners[places].tolist(), indexed.tolist(), strict=True):
            yield Match(asking, found, "exact", 1.0)
        shared = self._grams.shared(texts.grams)
        shares = shared.count / self._totals[shared.indexed]
        kept = _telling(shared.asking, shares) if self._sampled else np.arange(len(shares))
        rows = shared.asking[kept].tolist(), shared.indexed[kept].tolist(), shares[kept].tolist()
        for asking, found, share in zip(*rows, strict=True):
            yield Match(asking, found, "13-grams", share)
        near = self._minhashes.candidates(texts.bands, texts.signatures)
        close = near.jaccard >= NEAR
        rows = near.asking[close].tolist(), near.indexed[close].tolist(), near.jaccard[close].tolist()
        for asking, found, jaccard in zip(*rows, strict=True):
            yield Match(asking, found, "minhash", jaccard)

    def shared_runs(self, texts: Sketched) -> Iterator[tuple[int, int, int]]:
        """How many 13-grams each text shares with each indexed one: (asking, indexed, count)."""
        shared = self._grams.shared(texts.grams)
        return zip(shared.asking.tolist(), shared.indexed.tolist(), shared.count.tolist(), strict=True)

    def own_shares(self, texts: Sketched) -> Iterator[Match]:
        """How much of each text's own 13-grams are an indexed one's; for texts that were not sampled."""
        shared = self._grams.shared(texts.grams)
        shares = shared.count / texts.grams.counts(texts.size)[shared.asking]
        for asking, found, share in zip(shared.asking.tolist(), shared.indexed.tolist(), shares.tolist(), strict=True):
            yield Match(asking, found, "13-grams", share)


class QueryIndex:
    """Queries, found in questions through edits that leave few runs of 13 words whole.

    Beside what `TextIndex` finds: runs of three words, a quarter of the shorter text's (and some more, since short
    texts share a few by chance), which survives words exchanged in every sentence, half a text dropped, and other text
    around it; most of the question's own 13-grams, which survives any cut; the cosine of weighted words, which
    survives any order; and titles. The thresholds stand between what was measured of edited BRIGHT queries and of the
    real dumps' innocent questions: `tests/ir/overlap/test_edits.py`, `tests/ir/overlap/test_real_dumps.py`.
    """

    def __init__(self, queries: Sequence[str]) -> None:
        self.texts = TextIndex(batches(queries), least_words=LEAST_TITLE_WORDS)
        encoded = encode(queries)
        long = np.flatnonzero(encoded.counts >= GRAM)
        shingles = _of(grams(encoded, SHINGLE), long)
        self._shingles = Postings([shingles])
        self._totals = shingles.counts(len(queries))
        self._weights = WordWeights(encoded)
        self._long: Numbers = long
        self._words = WordIndex([self._weights.weigh(_text(encoded, number)) for number in long.tolist()])
        titled = _titles(queries)
        titles = encode([title for _, title in titled])
        fit = np.flatnonzero((titles.counts >= LEAST_TITLE_WORDS) & (titles.counts <= LONGEST_TITLE))
        self._titled = [titled[place][0] for place in fit.tolist()]
        self._titles = WordIndex([self._weights.weigh(_text(titles, place)) for place in fit.tolist()])
        whole = _whole(titles, LEAST_TITLE_WORDS)
        self._whole_titles = Postings(
            [Grams(whole.keys, np.array([number for number, _ in titled], np.int64)[whole.owners])]
        )

    @property
    def nbytes(self) -> int:
        """What the larger arrays take in memory."""
        return self.texts.nbytes + self._shingles.nbytes

    def matches(self, texts: Sketched, titles: Sequence[str]) -> Iterator[Match]:
        """What each question has of each query; its title is asked for as well as the whole."""
        yield from self.texts.matches(texts)
        yield from (match for match in self.texts.own_shares(texts) if match.overlap >= OWN_SHARE)
        yield from self._shingle_matches(texts)
        for asking in range(texts.size):
            text = self._weights.weigh(_text(texts.words, asking))
            for found, cosine in self._words.similar(text, COSINE, LEAST_SHARED_WORDS):
                yield Match(asking, int(self._long[found]), "words", cosine)
        yield from self._title_matches(encode(titles))

    def _shingle_matches(self, texts: Sketched) -> Iterator[Match]:
        runs = {(asking, indexed): count for asking, indexed, count in self.texts.shared_runs(texts)}
        shared = self._shingles.shared(texts.shingles)
        smaller = np.minimum(self._totals[shared.indexed], texts.shingles.counts(texts.size)[shared.asking])
        likely = np.flatnonzero(shared.count >= SHINGLE_SHARE * (smaller + SHINGLES_BEYOND))
        for place in likely.tolist():
            asking, indexed = int(shared.asking[place]), int(shared.indexed[place])
            count, fewer = int(shared.count[place]), int(smaller[place])
            quoted = runs.get((asking, indexed), 0)
            # A passage quoted whole is for the runs of 13 to judge: m words in a row are m - 12 of those. Here counts
            # what is left beside it.
            passage = quoted + (GRAM - SHINGLE) * bool(quoted)
            if count - passage >= SHINGLE_SHARE * (fewer - passage + SHINGLES_BEYOND):
                yield Match(asking, indexed, "shingles", count / fewer)

    def _title_matches(self, titles: Words) -> Iterator[Match]:
        whole = _whole(titles, LEAST_TITLE_WORDS)
        places, found = self._whole_titles.find(whole.keys)
        for asking, indexed in zip(whole.owners[places].tolist(), found.tolist(), strict=True):
            yield Match(asking, indexed, "title", 1.0)
        for asking in np.flatnonzero(titles.counts <= LONGEST_TITLE).tolist():
            title = self._weights.weigh(_text(titles, asking))
            for place, cosine in self._titles.similar(title, TITLE_COSINE, LEAST_TITLE_WORDS):
                yield Match(asking, self._titled[place], "title", cosine)


def _titles(queries: Sequence[str]) -> list[tuple[int, str]]:
    """What may be a question's title, with its query: the query, or the first of its lines if that is its alone."""
    stripped = [query.strip() for query in queries]
    lines = [query.partition("\n")[0] for query in stripped]
    uses = Counter(lines)
    firsts = [(number, line) for number, line in enumerate(lines) if uses[line] == 1 and line != stripped[number]]
    return [*enumerate(stripped), *firsts]


def _text(encoded: Words, number: int) -> Hashes:
    return encoded.hashes[encoded.offsets[number] : encoded.offsets[number + 1]]


def _whole(encoded: Words, least_words: int) -> Grams:
    """A hash of each text that has so many words, of all of them in order."""
    numbers = np.flatnonzero(encoded.counts >= least_words)
    digests = (hashlib.blake2b(_text(encoded, number).tobytes(), digest_size=8).digest() for number in numbers.tolist())
    return Grams(np.frombuffer(b"".join(digests), np.dtype("<u8")).astype(np.uint64), numbers)


def _long_enough(shingles: Grams, words: Words) -> Grams:
    """The runs of texts as long as one 13-gram: what is shorter is soon similar."""
    return _of(shingles, np.flatnonzero(words.counts >= GRAM))


def _of(found: Grams, texts: Numbers) -> Grams:
    kept = np.isin(found.owners, texts)
    return Grams(found.keys[kept], found.owners[kept])


def _numbered(found: Grams, first: int) -> Grams:
    return Grams(found.keys, found.owners + first)


def _telling(asking: Numbers, shares: Floats) -> Numbers:
    """Where a share is `SHARE` or more, or the largest of its asking text."""
    order = np.lexsort((-shares, asking))
    first = np.ones(len(order), bool)
    first[1:] = asking[order][1:] != asking[order][:-1]
    return np.union1d(order[first], np.flatnonzero(shares >= SHARE))


def _sampled(found: Grams, texts: int) -> Grams:
    """At most about `_KEPT_GRAMS` runs of each text, chosen by their hash."""
    counts = found.counts(texts)
    halvings = np.ceil(np.log2(np.maximum(counts, 1) / _KEPT_GRAMS)).clip(0).astype(np.uint64)
    masks = (np.uint64(1) << halvings) - np.uint64(1)
    kept = (found.keys & masks[found.owners]) == 0
    return Grams(found.keys[kept], found.owners[kept])
