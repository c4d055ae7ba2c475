"""Near-duplicates by MinHash over runs of three words, found by bands of the signature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from interank.ir.overlap.postings import Postings
from interank.ir.overlap.words import Grams, Hashes, Numbers, Words, encode, grams, mixed

# Runs of three words survive scattered edits that leave hardly a 13-gram whole.
SHINGLE = 3
# A pair with Jaccard similarity .5 becomes a candidate with probability 1 - (1 - .5^4)^32 = .87, one of .7 with .9998,
# one of .1 with 1 / 300.
_BANDS, _ROWS = 32, 4
_PERMUTATIONS = _BANDS * _ROWS
_SEED = 1
# The probability that two different values agree in their one stored byte (b-bit minwise hashing, Li and Koenig 2010).
_BY_CHANCE = 1 / 256
_CHUNK = 4096
# Texts whose words are hashed together, and texts whose runs are cached for comparison.
_TOGETHER, _HELD = 512, 256

Signatures = npt.NDArray[np.uint32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs of texts whose signatures agree in a band, with their estimated similarity."""

    asking: Numbers
    indexed: Numbers
    jaccard: npt.NDArray[np.float64]


class MinHashes:
    """An index of texts by the bands of their signatures, of 512 bytes for each text."""

    def __init__(self, parts: Sequence[tuple[Grams, Bytes]]) -> None:
        """Take the results of `sketch`, with owners numbered consecutively over all parts."""
        self._bands = Postings(bands for bands, _ in parts)
        self._signatures: Bytes = (
            np.concatenate([rows for _, rows in parts]) if parts else np.empty((0, _PERMUTATIONS), np.uint8)
        )

    @property
    def nbytes(self) -> int:
        """The size of the arrays in memory."""
        return self._bands.nbytes + self._signatures.nbytes

    def candidates(self, bands: Grams, signatures: Bytes) -> Candidates:
        """The pairs that may be similar, sorted by the asking, then by the indexed text."""
        shared = self._bands.shared(bands)
        agreeing = np.empty(len(shared.asking), np.float64)
        for start in range(0, len(agreeing), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            one, other = signatures[shared.asking[chunk]], self._signatures[shared.indexed[chunk]]
            agreeing[chunk] = (one == other).mean(axis=1)
        jaccard = np.clip((agreeing - _BY_CHANCE) / (1 - _BY_CHANCE), 0, 1)
        return Candidates(shared.asking, shared.indexed, jaccard)


def sketch(shingles: Grams, texts: int, *, first: int = 0) -> tuple[Grams, Bytes]:
    """The bands of the texts' signatures as hashes, and the signatures, one byte for each permutation.

    Args:
        shingles: The texts' runs of words. A text without any is in no band.
        texts: The number of texts.
        first: The number of the first text in the bands.
    """
    import rensa

    offsets = np.zeros(texts + 1, np.uint64)
    np.cumsum(shingles.counts(texts), out=offsets[1:])
    matrix: Any = rensa.RMinHash.digest_matrix_from_flat_token_hashes(shingles.keys, offsets, _PERMUTATIONS, _SEED)
    rows: Signatures = np.array(matrix.to_rows(), np.uint32).reshape(texts, _PERMUTATIONS)
    filled = np.flatnonzero(np.diff(offsets.astype(np.int64)))
    return Grams(_band_keys(rows[filled]), np.repeat(filled + first, _BANDS)), rows.astype(np.uint8)


def _band_keys(rows: Signatures) -> Hashes:
    """A hash for each band of each row, row by row."""
    parts = rows.reshape(len(rows), _BANDS, _ROWS).astype(np.uint64)
    keys: Hashes = np.broadcast_to(np.arange(1, _BANDS + 1, dtype=np.uint64), parts.shape[:2])
    for place in range(_ROWS):
        keys = mixed(keys + parts[:, :, place])
    return keys.reshape(-1)


def near_duplicates(texts: Sequence[str], threshold: float = 0.8) -> list[int]:
    """For each text the number of an earlier text that it nearly repeats, or its own number.

    Two texts are near-duplicates if the Jaccard similarity of their runs of three words is `threshold` or more. MinHash
    proposes the pairs to compare, and misses one in eight at .5 and hardly any from .7 on; the compared similarity is
    exact. Each text is directly similar to the one that is returned for it, not through a chain. `texts` is indexed by
    number, some texts twice, so they need not be in memory.
    """
    bands = _all_bands(texts)
    # Only the first text in a band's bucket is compared, or many copies would make far too many pairs.
    _, place, bucket = np.unique(bands.keys, return_index=True, return_inverse=True)

    @lru_cache(_HELD)
    def runs(text: int) -> Hashes:
        return whole_or_grams(encode([texts[text]])).keys

    firsts = list(range(len(texts)))
    for text, leaders in _by_text(bands.owners, bands.owners[place][bucket]):
        for leader in sorted({firsts[leader] for leader in leaders if leader < text}):
            mine, theirs = runs(text), runs(leader)
            common = len(np.intersect1d(mine, theirs, assume_unique=True))
            if common >= threshold * (len(mine) + len(theirs) - common):
                firsts[text] = leader
                break
    return firsts


def _all_bands(texts: Sequence[str]) -> Grams:
    """The bands of all texts; the much larger words of only a few texts are in memory at a time."""
    parts = [Grams(np.empty(0, np.uint64), np.empty(0, np.int64))]
    for start in range(0, len(texts), _TOGETHER):
        some = [texts[place] for place in range(start, min(start + _TOGETHER, len(texts)))]
        bands, _ = sketch(whole_or_grams(encode(some)), len(some), first=start)
        parts.append(bands)
    return Grams(np.concatenate([part.keys for part in parts]), np.concatenate([part.owners for part in parts]))


def _by_text(owners: Numbers, leaders: Numbers) -> Iterator[tuple[int, list[int]]]:
    """Each text with the first text of each of its buckets; a text is in all bands or in none."""
    yield from zip(owners[::_BANDS].tolist(), leaders.reshape(-1, _BANDS).tolist(), strict=True)


def whole_or_grams(encoded: Words) -> Grams:
    """The texts' runs of three words; a text of one or two words is one run."""
    shingles = grams(encoded, SHINGLE)
    short = np.flatnonzero((encoded.counts > 0) & (encoded.counts < SHINGLE))
    if not len(short):
        return shingles
    first = encoded.hashes[encoded.offsets[short]]
    last = encoded.hashes[encoded.offsets[short + 1] - 1]
    keys = np.concatenate([shingles.keys, mixed(mixed(first) + last)])
    owners = np.concatenate([shingles.owners, short])
    order = np.argsort(owners, kind="stable")
    return Grams(keys[order], owners[order])
