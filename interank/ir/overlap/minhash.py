"""Near-duplicates by MinHash over runs of three words, found through bands of the signature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from interank.ir.overlap.postings import Postings
from interank.ir.overlap.words import Grams, Hashes, Numbers, Words, encode, grams, mixed

# Runs of three survive scattered edits that leave hardly a run of thirteen whole.
SHINGLE = 3
# A pair with Jaccard similarity .5 becomes a candidate with probability 1 - (1 - .5^4)^32 = .87, one with .7 always
# (.9998); a pair with .1 one time in 300.
_BANDS, _ROWS = 32, 4
_PERMUTATIONS = _BANDS * _ROWS
_SEED = 1
# Two values agree in one byte by chance once in 256 (b-bit minwise hashing, Li and Koenig 2010).
_BY_CHANCE = 1 / 256
_CHUNK = 4096
# Texts whose words are looked at together, and texts whose runs are held to be compared.
_TOGETHER, _HELD = 512, 256

Signatures = npt.NDArray[np.uint32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs of texts whose signatures agree in a band, with the estimate of their similarity."""

    asking: Numbers
    indexed: Numbers
    jaccard: npt.NDArray[np.float64]


class MinHashes:
    """Indexed texts by the bands of their signatures; 512 bytes a text."""

    def __init__(self, parts: Sequence[tuple[Grams, Bytes]]) -> None:
        """Take what `sketch` gave, with owners numbered through over all parts."""
        self._bands = Postings(bands for bands, _ in parts)
        self._signatures: Bytes = (
            np.concatenate([rows for _, rows in parts]) if parts else np.empty((0, _PERMUTATIONS), np.uint8)
        )

    @property
    def nbytes(self) -> int:
        """What the arrays take in memory."""
        return self._bands.nbytes + self._signatures.nbytes

    def candidates(self, bands: Grams, signatures: Bytes) -> Candidates:
        """The pairs that may be similar, ascending by the asking, then by the indexed text."""
        shared = self._bands.shared(bands)
        agreeing = np.empty(len(shared.asking), np.float64)
        for start in range(0, len(agreeing), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            one, other = signatures[shared.asking[chunk]], self._signatures[shared.indexed[chunk]]
            agreeing[chunk] = (one == other).mean(axis=1)
        jaccard = np.clip((agreeing - _BY_CHANCE) / (1 - _BY_CHANCE), 0, 1)
        return Candidates(shared.asking, shared.indexed, jaccard)


def sketch(shingles: Grams, texts: int, *, first: int = 0) -> tuple[Grams, Bytes]:
    """The signatures of texts 0 to `texts` - 1, one byte a permutation, and their bands as hashes.

    Args:
        shingles: The texts' runs of words. A text without any is in no band.
        texts: How many texts there are.
        first: Is added to their numbers in the bands.
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
    """For each text the number of the first of its kind: its own, or that of an earlier text that it repeats.

    Two texts are of a kind if the Jaccard similarity of their runs of three words is `threshold` or more. MinHash
    proposes what to compare, which misses one pair in eight at .5 and hardly any from .7 on; the similarity itself
    is exact. A text is similar to the first that is named for it, whatever chains there are. Texts are asked for by
    their places, few at a time, some of them twice: they need not be in memory.
    """
    bands = _all_bands(texts)
    # The first text in each band's bucket stands for all of them, or many copies would make ever so many pairs.
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
    """The bands of all texts; the words of few are held at a time, which are many times as large."""
    parts = [Grams(np.empty(0, np.uint64), np.empty(0, np.int64))]
    for start in range(0, len(texts), _TOGETHER):
        some = [texts[place] for place in range(start, min(start + _TOGETHER, len(texts)))]
        bands, _ = sketch(whole_or_grams(encode(some)), len(some), first=start)
        parts.append(bands)
    return Grams(np.concatenate([part.keys for part in parts]), np.concatenate([part.owners for part in parts]))


def _by_text(owners: Numbers, leaders: Numbers) -> Iterator[tuple[int, list[int]]]:
    """Each text with the leaders of its buckets; every text in bands is in all of them."""
    yield from zip(owners[::_BANDS].tolist(), leaders.reshape(-1, _BANDS).tolist(), strict=True)


def whole_or_grams(encoded: Words) -> Grams:
    """The texts' runs of three words; of a text with one or two words, its words."""
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
