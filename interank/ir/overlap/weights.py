"""Cosine similarity of texts by their weighted words, in any order: it finds copies without a common run of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from interank.ir.overlap.postings import locate
from interank.ir.overlap.words import Hashes, Numbers, Words, encode

Floats = npt.NDArray[np.float64]

# Words that every text has. Single letters and digits, as in mathematics, are added below.
_STOP_WORDS = """
a about after again all also although always am an and another any anyone anything are arent around as ask asked
asking at away back be because been before being below best better between both but by can cannot cant case come
consider could couldnt did didnt different do does doesnt doing dont done down during each edit either else enough etc
even ever every example explain far few find first following follows for found from further general get gets getting
give given gives go going good got had happen has hasnt have havent having he hello help hence her here hi him his how
however i id if ill im in instead into is isnt it its itself ive just kind know known last least less let lets like ll
look looking lot made make makes making many may maybe me mean means might more most much must my myself need needed
needs never new no none nor not nothing now of off often on once one ones only onto or other others otherwise our out
over own part perhaps please point possible problem put question questions quite rather re read really regarding right
same say see seem seems seen several shall she should show similar simply since so some someone something sort still
such suppose sure take taken than thank thanks that thats the their them themselves then there therefore theres these
they theyre thing things think this those though through thus to together too towards trying try two under understand
until up upon us use used uses using usually ve very want wants was wasnt way ways we well were what whats when where
whether which while who whole whom whose why will with within without wondering wont work works would wouldnt wrong
yes yet you your youre
"""


class WeightedWords(NamedTuple):
    """A text's words as sorted hashes, with weights whose squares add up to 1."""

    words: Hashes
    weights: Floats


class WordWeights:
    """The weight of each word: its inverse document frequency in some texts, 0 for a stop word."""

    def __init__(self, encoded: Words) -> None:
        owners = np.repeat(np.arange(len(encoded.counts)), encoded.counts)
        order = np.lexsort((owners, encoded.hashes))
        keys, owners = encoded.hashes[order], owners[order]
        first = np.ones(len(keys), bool)
        first[1:] = (keys[1:] != keys[:-1]) | (owners[1:] != owners[:-1])
        self._words, frequencies = np.unique(keys[first], return_counts=True)
        texts = len(encoded.counts)
        self._unseen = 1 + np.log(texts + 1)
        self._idf: Floats = self._unseen - np.log(frequencies + 1)
        self._stop: Hashes = np.unique(
            encode(["\n".join([*_STOP_WORDS.split(), *"abcdefghijklmnopqrstuvwxyz0123456789"])]).hashes
        )

    def weigh(self, hashes: Hashes) -> WeightedWords:
        """Weight a text's words, without stop words, by damped frequency and inverse document frequency."""
        words, counts = np.unique(hashes, return_counts=True)
        content = ~np.isin(words, self._stop, assume_unique=True)
        words, counts = words[content], counts[content]
        idf = np.full(len(words), self._unseen)
        places, entries = locate(self._words, words)
        idf[places] = self._idf[entries]
        weights = (1 + np.log(counts)) * idf
        norm = float(np.sqrt(weights @ weights))
        return WeightedWords(words, weights / norm if norm else weights)


class WordIndex:
    """An index of texts by their weighted words."""

    def __init__(self, texts: Sequence[WeightedWords]) -> None:
        words = np.concatenate([text.words for text in texts]) if texts else np.empty(0, np.uint64)
        weights = np.concatenate([text.weights for text in texts]) if texts else np.empty(0, np.float64)
        owners = np.repeat(np.arange(len(texts)), [len(text.words) for text in texts])
        order = np.argsort(words, kind="stable")
        self._words: Hashes = words[order]
        self._weights: Floats = weights[order]
        self._owners: Numbers = owners[order]
        self._texts = len(texts)

    def similar(self, text: WeightedWords, threshold: float, least_shared: int) -> list[tuple[int, float]]:
        """The indexed texts with a cosine of `threshold` or more and at least `least_shared` common words."""
        places, entries = locate(self._words, text.words)
        owners = self._owners[entries]
        cosines = np.bincount(owners, weights=text.weights[places] * self._weights[entries], minlength=self._texts)
        near = np.flatnonzero(cosines >= threshold)
        if not len(near):
            return []
        shared = np.bincount(owners, minlength=self._texts)
        return [(int(owner), float(cosines[owner])) for owner in near if shared[owner] >= least_shared]
