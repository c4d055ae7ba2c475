"""Indexes of texts that find overlaps with other texts: runs of words, near-duplicates, equal texts."""

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
# Alphabetic words that a 13-gram must hold: innocent texts share grids of digits.
LEAST_ALPHABETIC = 5
# The share of an indexed text's 13-grams that makes another text contaminated.
SHARE = 0.3
# The least estimate of the Jaccard similarity by MinHash. At .5 two of three runs of three words are common. Between
# BRIGHT's queries and the 1,776 other questions of the real dumps the largest similarity is .07.
NEAR = 0.5
# Thresholds for texts that share most words, but few long runs: see `QueryIndex`.
SHINGLE_SHARE = 0.25
SHINGLES_BEYOND = 8
COSINE = 0.5
LEAST_SHARED_WORDS = 4
# The share of a question's own 13-grams that are a query's: it finds excerpts, such as a quarter of a query.
OWN_SHARE = 0.5
TITLE_COSINE = 0.8
LEAST_TITLE_WORDS = 3
LONGEST_TITLE = 30

# The most 13-grams kept of a document, at 12 bytes each. A longer document keeps those whose hash ends in enough zeros,
# which leaves 64 to 128; the share is estimated from them (standard error at .3 below .06).
_KEPT_GRAMS = 128
_BATCH = 1024
# Documents indexed at once: sorting doubles the memory, to about 0.6 GB.
CHUNK = 100_000

_Item = TypeVar("_Item")


class Match(NamedTuple):
    """An overlap between a text (by number in its batch) and an indexed text (by number)."""

    asking: int
    indexed: int
    how: How
    overlap: float


class TextSketches(NamedTuple):
    """A batch of texts in all the forms that an index is searched with."""

    words: Words
    grams: Grams
    shingles: Grams
    bands: Grams
    signatures: Bytes

    @property
    def size(self) -> int:
        """The number of texts."""
        return len(self.words.counts)


def sketched(texts: Sequence[str]) -> TextSketches:
    """Compute all forms of the texts."""
    words = encode(texts)
    shingles = grams(words, SHINGLE)
    bands, signatures = sketch(_long_enough(shingles, words), len(texts))
    return TextSketches(words, grams(words, GRAM, least_alphabetic=LEAST_ALPHABETIC), shingles, bands, signatures)


def batches(items: Iterable[_Item], size: int = _BATCH) -> Iterator[list[_Item]]:
    """The items in lists of `size`; the last may be shorter."""
    stream = iter(items)
    while batch := list(islice(stream, size)):
        yield batch


class TextIndex:
    """An index of texts by their 13-grams, their MinHash signatures and a hash of all their words."""

    def __init__(self, batches_of_texts: Iterable[Sequence[str]], *, least_words: int, sampled: bool = False) -> None:
        """Index texts, numbered in the order they come.

        Args:
            batches_of_texts: The texts; one batch is in memory at a time.
            least_words: The length from which an equal text counts as a match; shorter ones are equal by chance.
            sampled: Whether to keep a bounded number of 13-grams of each text, for large collections.
        """
        runs, wholes, sketches = [], [], []
        totals: list[Numbers] = []
        self.texts = 0
        for texts in batches_of_texts:
            forms = sketched(texts)
            kept = _sampled(forms.grams, forms.size) if sampled else forms.grams
            totals.append(kept.counts(forms.size))
            runs.append(_numbered(kept, self.texts))
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
        """The size of the arrays in memory."""
        return self._grams.nbytes + self._wholes.nbytes + self._minhashes.nbytes + self._totals.nbytes

    def matches(self, texts: TextSketches) -> Iterator[Match]:
        """Matches of each text with each indexed one: equal texts, 13-grams, near-duplicates.

        Of shares below `SHARE` a sampled index yields only each text's largest, since many documents share boilerplate.
        """
        whole = _whole(texts.words, self._least_words)
        places, numbers = self._wholes.find(whole.keys)
        for asking, indexed in zip(whole.owners[places].tolist(), numbers.tolist(), strict=True):
            yield Match(asking, indexed, "exact", 1.0)
        shared = self._grams.shared(texts.grams)
        shares = shared.count / self._totals[shared.indexed]
        kept = _relevant_shares(shared.asking, shares) if self._sampled else np.arange(len(shares))
        rows = shared.asking[kept].tolist(), shared.indexed[kept].tolist(), shares[kept].tolist()
        for asking, indexed, share in zip(*rows, strict=True):
            yield Match(asking, indexed, "13-grams", share)
        near = self._minhashes.candidates(texts.bands, texts.signatures)
        close = near.jaccard >= NEAR
        rows = near.asking[close].tolist(), near.indexed[close].tolist(), near.jaccard[close].tolist()
        for asking, indexed, jaccard in zip(*rows, strict=True):
            yield Match(asking, indexed, "minhash", jaccard)

    def shared_runs(self, texts: TextSketches) -> Iterator[tuple[int, int, int]]:
        """The number of 13-grams that each text shares with each indexed one: (asking, indexed, count)."""
        shared = self._grams.shared(texts.grams)
        return zip(shared.asking.tolist(), shared.indexed.tolist(), shared.count.tolist(), strict=True)

    def own_shares(self, texts: TextSketches) -> Iterator[Match]:
        """The share of each text's own 13-grams that an indexed text has; the index must not be sampled."""
        shared = self._grams.shared(texts.grams)
        shares = shared.count / texts.grams.counts(texts.size)[shared.asking]
        rows = shared.asking.tolist(), shared.indexed.tolist(), shares.tolist()
        for asking, indexed, share in zip(*rows, strict=True):
            yield Match(asking, indexed, "13-grams", share)


class QueryIndex:
    """An index that finds queries in questions even after edits that leave few 13-grams whole.

    It adds four kinds of match to `TextIndex`:

    * a quarter of the shorter text's runs of three words, and some more, since short texts share a few by chance; it
      survives words exchanged in every sentence, half a text dropped, and other text around it;
    * half of the question's own 13-grams; it survives any cut;
    * the cosine of weighted words; it survives any order;
    * equal or similar titles.

    The thresholds lie between measurements of edited BRIGHT queries and of innocent questions in real dumps:
    `tests/ir/overlap/test_edits.py`, `tests/ir/overlap/test_real_dumps.py`.
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

    def matches(self, texts: TextSketches, titles: Sequence[str]) -> Iterator[Match]:
        """Matches of each question, and of its title, with each query."""
        yield from self.texts.matches(texts)
        yield from (match for match in self.texts.own_shares(texts) if match.overlap >= OWN_SHARE)
        yield from self._shingle_matches(texts)
        for asking in range(texts.size):
            text = self._weights.weigh(_text(texts.words, asking))
            for place, cosine in self._words.similar(text, COSINE, LEAST_SHARED_WORDS):
                yield Match(asking, int(self._long[place]), "words", cosine)
        yield from self._title_matches(encode(titles))

    def _shingle_matches(self, texts: TextSketches) -> Iterator[Match]:
        runs = {(asking, indexed): count for asking, indexed, count in self.texts.shared_runs(texts)}
        shared = self._shingles.shared(texts.shingles)
        smaller = np.minimum(self._totals[shared.indexed], texts.shingles.counts(texts.size)[shared.asking])
        likely = np.flatnonzero(shared.count >= SHINGLE_SHARE * (smaller + SHINGLES_BEYOND))
        for place in likely.tolist():
            asking, indexed = int(shared.asking[place]), int(shared.indexed[place])
            count, fewer = int(shared.count[place]), int(smaller[place])
            quoted = runs.get((asking, indexed), 0)
            # 13-grams already judge a passage quoted whole (m words in a row have m - 12 of them), so its runs of three
            # words are left out here.
            passage = quoted + (GRAM - SHINGLE) * bool(quoted)
            if count - passage >= SHINGLE_SHARE * (fewer - passage + SHINGLES_BEYOND):
                yield Match(asking, indexed, "shingles", count / fewer)

    def _title_matches(self, titles: Words) -> Iterator[Match]:
        whole = _whole(titles, LEAST_TITLE_WORDS)
        places, numbers = self._whole_titles.find(whole.keys)
        for asking, indexed in zip(whole.owners[places].tolist(), numbers.tolist(), strict=True):
            yield Match(asking, indexed, "title", 1.0)
        for asking in np.flatnonzero(titles.counts <= LONGEST_TITLE).tolist():
            title = self._weights.weigh(_text(titles, asking))
            for place, cosine in self._titles.similar(title, TITLE_COSINE, LEAST_TITLE_WORDS):
                yield Match(asking, self._titled[place], "title", cosine)


def _titles(queries: Sequence[str]) -> list[tuple[int, str]]:
    """Possible titles with their query's number: each query, and its first line if no other query has the same."""
    stripped = [query.strip() for query in queries]
    lines = [query.partition("\n")[0] for query in stripped]
    uses = Counter(lines)
    firsts = [(number, line) for number, line in enumerate(lines) if uses[line] == 1 and line != stripped[number]]
    return [*enumerate(stripped), *firsts]


def _text(encoded: Words, number: int) -> Hashes:
    return encoded.hashes[encoded.offsets[number] : encoded.offsets[number + 1]]


def _whole(encoded: Words, least_words: int) -> Grams:
    """A hash of all words in order, for each text of at least `least_words` words."""
    numbers = np.flatnonzero(encoded.counts >= least_words)
    digests = (hashlib.blake2b(_text(encoded, number).tobytes(), digest_size=8).digest() for number in numbers.tolist())
    return Grams(np.frombuffer(b"".join(digests), np.dtype("<u8")).astype(np.uint64), numbers)


def _long_enough(shingles: Grams, words: Words) -> Grams:
    """The runs of the texts that have at least 13 words; shorter texts are similar by chance."""
    return _of(shingles, np.flatnonzero(words.counts >= GRAM))


def _of(runs: Grams, texts: Numbers) -> Grams:
    kept = np.isin(runs.owners, texts)
    return Grams(runs.keys[kept], runs.owners[kept])


def _numbered(runs: Grams, first: int) -> Grams:
    return Grams(runs.keys, runs.owners + first)


def _relevant_shares(asking: Numbers, shares: Floats) -> Numbers:
    """The positions of shares that are `SHARE` or more, or the largest of their asking text."""
    order = np.lexsort((-shares, asking))
    first = np.ones(len(order), bool)
    first[1:] = asking[order][1:] != asking[order][:-1]
    return np.union1d(order[first], np.flatnonzero(shares >= SHARE))


def _sampled(runs: Grams, texts: int) -> Grams:
    """At most about `_KEPT_GRAMS` runs of each text, chosen by their hash."""
    counts = runs.counts(texts)
    halvings = np.ceil(np.log2(np.maximum(counts, 1) / _KEPT_GRAMS)).clip(0).astype(np.uint64)
    masks = (np.uint64(1) << halvings) - np.uint64(1)
    kept = (runs.keys & masks[runs.owners]) == 0
    return Grams(runs.keys[kept], runs.owners[kept])
