"""Texts as sequences of hashed words: the same words give the same numbers, in any spelling and markup."""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

# HTML elements, which one copy of a text has and another not. Only these names: `i<n and n>0` is no element.
_ELEMENT = re.compile(
    r"</?(?:a|abbr|b|blockquote|br|center|cite|code|dd|del|details|div|dl|dt|em|font|h[1-6]|hr|i|img|ins|kbd|li|ol|p|"
    r"pre|q|s|samp|small|span|strike|strong|sub|summary|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var)"
    r"(?:\s[^<>]*)?/?>"
)
# Inline elements, which do not separate words: H<sub>2</sub>O.
_INLINE = re.compile(r"</?(?:b|em|font|i|s|small|span|strong|sub|sup|tt|u)\b")
_ADDRESS = re.compile(r"(?:\b(?:https?|ftp):|(?<![\w:]))//[^\s<>()\[\]{}\"']+|\bwww\.[^\s<>()\[\]{}\"']+")
_EDITORS = "enter image description here"
_IMAGE = re.compile(rf"{_EDITORS}|\[image(?::[^\]]*)?\]")
_APOSTROPHE = re.compile(r"['\u2019\u02bc\uff07](?<=\w.)(?=\w)")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_WORD = re.compile(r"[^\W_]+")
# Unicode categories of combining marks (accents) and invisible signs (soft hyphens, joiners, directions).
_UNSEEN = frozenset({"Mn", "Me", "Cf"})

_CACHED_WORDS = 1 << 20
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, as in Fibonacci hashing
_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(32)
_ONE = np.uint64(1)


class Words(NamedTuple):
    """The words of several texts, one text after the other; text i is `hashes[offsets[i] : offsets[i + 1]]`."""

    hashes: Hashes
    offsets: Numbers

    @property
    def counts(self) -> Numbers:
        """The number of words in each text."""
        return np.diff(self.offsets)


class Grams(NamedTuple):
    """Pairs of a text (by number) and a run of words in it (by hash), each once, sorted by text, then by run."""

    keys: Hashes
    owners: Numbers

    def of(self, text: int) -> Hashes:
        """The runs of one text, sorted."""
        start, end = np.searchsorted(self.owners, (text, text + 1))
        return self.keys[start:end]

    def counts(self, texts: int) -> Numbers:
        """The number of different runs in each of the texts 0 to `texts` - 1."""
        return np.bincount(self.owners, minlength=texts).astype(np.int64)


def words(text: str) -> list[str]:
    """A text's words and numbers in lower case, without accents, markup, addresses and punctuation."""
    if "&" in text:
        text = html.unescape(text)
    text = text.casefold()
    if "<" in text:
        text = _ELEMENT.sub(lambda match: "" if _INLINE.match(match.group()) else " ", text)
    if "//" in text or "www." in text:
        text = _ADDRESS.sub(" ", text)
    if "image" in text:
        # Only up to the last closing bracket: beyond it each `[image` would be searched to the text's end in vain.
        ends = text.rfind("]") + 1
        text = _IMAGE.sub(" ", text[:ends]) + text[ends:].replace(_EDITORS, " ")
    text = _APOSTROPHE.sub("", text)
    if not text.isascii():
        # Folded once more after NFKD, since compatibility forms hold capitals too.
        text = _NOT_ASCII.sub(_seen, unicodedata.normalize("NFKD", text).casefold())
        text = _APOSTROPHE.sub("", text)
    return _WORD.findall(text)


def _seen(sign: re.Match[str]) -> str:
    return "" if unicodedata.category(sign.group()) in _UNSEEN else sign.group()


def encode(texts: Sequence[str]) -> Words:
    """The texts' words as 64-bit hashes, the same on every machine and in every run."""
    split = [words(text) for text in texts]
    offsets = np.zeros(len(split) + 1, np.int64)
    np.cumsum([len(text_words) for text_words in split], out=offsets[1:])
    return Words(np.fromiter(map(_word_hash, chain.from_iterable(split)), np.uint64, int(offsets[-1])), offsets)


@lru_cache(maxsize=_CACHED_WORDS)
def _word_hash(word: str) -> int:
    """A hash whose lowest bit tells whether the word is alphabetic."""
    digest = int.from_bytes(hashlib.blake2b(word.encode(errors="surrogatepass"), digest_size=8).digest(), "little")
    return digest | 1 if word.isalpha() else digest & ~1


def grams(encoded: Words, size: int, *, least_alphabetic: int = 0) -> Grams:
    """Every text's different runs of `size` words.

    Args:
        encoded: The texts.
        size: The number of words in a run; a shorter text has none.
        least_alphabetic: The least number of different alphabetic words in a run that counts.
    """
    hashes = encoded.hashes
    windows = len(hashes) - size + 1
    if windows <= 0:
        return Grams(np.empty(0, np.uint64), np.empty(0, np.int64))
    owners = np.repeat(np.arange(len(encoded.offsets) - 1), encoded.counts)
    keys = np.zeros(windows, np.uint64)
    for place in range(size):
        keys = keys * _MULTIPLIER + hashes[place : place + windows]
    counting = owners[:windows] == owners[size - 1 :]
    if least_alphabetic:
        counting &= _alphabetic(hashes, size) >= least_alphabetic
    return distinct(mixed(keys[counting]), owners[:windows][counting])


def mixed(keys: Hashes) -> Hashes:
    """Mix the bits of each key, so that every bit depends on all."""
    keys = (keys ^ (keys >> _SHIFT)) * _MIX
    return keys ^ (keys >> _SHIFT)


def distinct(keys: Hashes, owners: Numbers) -> Grams:
    """Each pair of key and owner once, sorted by owner, then by key."""
    order = np.lexsort((keys, owners))
    keys, owners = keys[order], owners[order]
    if len(keys):
        first = np.ones(len(keys), bool)
        first[1:] = (keys[1:] != keys[:-1]) | (owners[1:] != owners[:-1])
        keys, owners = keys[first], owners[first]
    return Grams(keys, owners)


def _alphabetic(hashes: Hashes, size: int) -> Numbers:
    """The number of different alphabetic words in each window of `size` words."""
    windows = len(hashes) - size + 1
    order = np.argsort(hashes, kind="stable")
    repeats = hashes[order[1:]] == hashes[order[:-1]]
    previous = np.full(len(hashes), -1, np.int64)
    previous[order[1:][repeats]] = order[:-1][repeats]
    starts = np.arange(windows)
    is_alphabetic = (hashes & _ONE).astype(bool)
    count = np.zeros(windows, np.int64)
    for place in range(size):
        here = slice(place, place + windows)
        # A word counts once: only if its previous occurrence is before the window.
        count += is_alphabetic[here] & (previous[here] < starts)
    return count
