"""An inverted index of hashes: sorted arrays instead of a dictionary, at 12 bytes an entry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interank.ir.overlap.words import Grams, Hashes, Numbers

Owners = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class SharedHashes:
    """The number of hashes that an asking text and an indexed text share; pairs without any are left out."""

    asking: Numbers
    indexed: Numbers
    count: Numbers


class Postings:
    """An index from hashes to the texts that hold them."""

    def __init__(self, parts: Iterable[Grams]) -> None:
        """Take grams whose owners are the numbers of the indexed texts; parts are kept at 12 bytes a gram."""
        kept = [(part.keys, part.owners.astype(np.uint32)) for part in parts]
        self._keys: Hashes = np.concatenate([keys for keys, _ in kept]) if kept else np.empty(0, np.uint64)
        self._owners: Owners = np.concatenate([owners for _, owners in kept]) if kept else np.empty(0, np.uint32)
        del kept
        order = np.argsort(self._keys, kind="stable")
        self._keys = self._keys[order]
        self._owners = self._owners[order]

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def nbytes(self) -> int:
        """The size of the arrays in memory."""
        return self._keys.nbytes + self._owners.nbytes

    def find(self, keys: Hashes) -> tuple[Numbers, Owners]:
        """Every pair of a position in `keys` and a text that holds that key."""
        places, entries = locate(self._keys, keys)
        return places, self._owners[entries]

    def shared(self, asking: Grams) -> SharedHashes:
        """The number of hashes that each asking text shares with each indexed one, sorted by both."""
        places, indexed = self.find(asking.keys)
        span = int(indexed.max()) + 1 if len(indexed) else 1
        pairs, count = np.unique(asking.owners[places] * span + indexed, return_counts=True)
        return SharedHashes(pairs // span, pairs % span, count.astype(np.int64))


def locate(ascending: Hashes, keys: Hashes) -> tuple[Numbers, Numbers]:
    """Every pair of a position in `keys` and a position in `ascending` that hold the same key."""
    starts = np.searchsorted(ascending, keys, "left")
    lengths = np.searchsorted(ascending, keys, "right") - starts
    hit = np.flatnonzero(lengths)
    starts, lengths = starts[hit], lengths[hit]
    first = np.cumsum(lengths) - lengths
    entries = np.arange(int(lengths.sum())) + np.repeat(starts - first, lengths)
    return np.repeat(hit, lengths), entries
