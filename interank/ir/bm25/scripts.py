"""Words of any script: runs of letters with their marks, or pairs of characters in scripts without blanks."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import pairwise
from typing import Any

# The scripts of Chinese, Japanese and South East Asia, in which only a dictionary could separate words.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"

_LOWER_ASCII = re.compile("[a-z0-9]+")


@cache
def _pattern(name: str) -> Any:
    import regex  # Python's `re` has no classes of scripts and marks; imported here since ASCII texts do not need it

    return regex.compile(
        {
            "word": rf"(?P<unspaced>(?:[{_UNSPACED}\u30fc]\p{{M}}*)+)|[\p{{L}}\p{{Nd}}--[{_UNSPACED}]]"
            rf"[\p{{L}}\p{{M}}\p{{Nd}}--[{_UNSPACED}]]*",
            "cluster": r"\P{M}\p{M}*",
            # Letters that stand for quantities in texts of other scripts.
            "signs": r"(?:[\p{Greek}\p{Common}&&\p{L}]\p{M}*)+",
            "latin": r"[\p{Latin}0-9]",
            "unspaced": rf"[{_UNSPACED}]\p{{M}}*",
        }[name],
        regex.VERSION1,
    )


def words(text: str) -> list[str]:
    """The words of a text in their own case; in scripts without blanks, every pair of neighbouring characters.

    For ASCII texts `[A-Za-z0-9]+` gives the same words many times faster.
    """
    parts: list[str] = []
    for match in _pattern("word").finditer(unicodedata.normalize("NFC", text)):
        if match["unspaced"] is None:
            parts += _without_signs(match[0])
            continue
        clusters = _pattern("cluster").findall(match[0])
        parts += map("".join, pairwise(clusters)) if len(clusters) > 1 else clusters
    return parts


def _without_signs(word: str) -> list[str]:
    """The word without letters used as signs: `TGF` followed by a Greek beta becomes `TGF`, a beta alone nothing."""
    if word.isascii() or not _pattern("signs").search(word):
        return [word]
    if _pattern("latin").search(word):
        return [part for part in _pattern("signs").split(word) if part]
    return [word] if len(word) > 1 else []


def tokenize(text: str) -> list[str]:
    """The text's words in lower case, of any script; no stop words, no stemming."""
    text = text.lower()
    return _LOWER_ASCII.findall(text) if text.isascii() else words(text)


def count_words(text: str) -> int:
    """The number of words in a text; in scripts without blanks two characters count as one word."""
    if text.isascii():
        return len(text.split())
    characters = len(_pattern("unspaced").findall(text))
    return len(_pattern("unspaced").sub(" ", text).split()) + -(-characters // 2) if characters else len(text.split())


def cut_words(text: str, most: int) -> list[str]:
    """Split a text into parts of at most `most` words; single blanks replace all white space."""
    parts: list[str] = []
    part: list[str] = []
    size = 0
    for token in text.split():
        for piece in _pieces(token, most):
            count = count_words(piece)
            if part and size + count > most:
                parts.append(" ".join(part))
                part, size = [], 0
            part.append(piece)
            size += count
    return [*parts, " ".join(part)] if part else parts


def _pieces(token: str, most: int) -> list[str]:
    """Split a token without blanks into pieces of at most `most` words."""
    if token.isascii() or count_words(token) <= most:
        return [token]
    clusters = _pattern("cluster").findall(token)
    return ["".join(clusters[start : start + 2 * most]) for start in range(0, len(clusters), 2 * most)]
