"""Words of any script: runs of letters with their marks, and pairs of characters where a script writes no blanks."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import pairwise
from typing import Any

# Chinese and Japanese, and those of South East Asia, whose words only a dictionary tells apart.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"

_LOWER_ASCII = re.compile("[a-z0-9]+")


@cache
def _pattern(name: str) -> Any:
    import regex  # Python's own expressions know neither scripts nor marks; most texts are ASCII and need neither

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
    """The words of a text, as they stand there; of scripts without blanks each two characters that are neighbours.

    Texts in ASCII have the same words by `[A-Za-z0-9]+`, which is many times faster.
    """
    found: list[str] = []
    for match in _pattern("word").finditer(unicodedata.normalize("NFC", text)):
        if match["unspaced"] is None:
            found += _without_signs(match[0])
            continue
        clusters = _pattern("cluster").findall(match[0])
        found += map("".join, pairwise(clusters)) if len(clusters) > 1 else clusters
    return found


def _without_signs(word: str) -> list[str]:
    """The word without letters that are signs: of `TGF` with a beta behind it the Latin ones, of a beta nothing."""
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
    """How many words a text has; where a script writes no blanks, two characters count as one."""
    if text.isascii():
        return len(text.split())
    characters = len(_pattern("unspaced").findall(text))
    return len(_pattern("unspaced").sub(" ", text).split()) + -(-characters // 2) if characters else len(text.split())


def cut_words(text: str, most: int) -> list[str]:
    """The text in parts of at most so many words, each joined by single blanks; blanks at its ends are lost."""
    parts: list[str] = []
    held: list[str] = []
    size = 0
    for token in text.split():
        for piece in _pieces(token, most):
            count = count_words(piece)
            if held and size + count > most:
                parts.append(" ".join(held))
                held, size = [], 0
            held.append(piece)
            size += count
    return [*parts, " ".join(held)] if held else parts


def _pieces(token: str, most: int) -> list[str]:
    """A run without blanks in pieces of at most so many words."""
    if token.isascii() or count_words(token) <= most:
        return [token]
    clusters = _pattern("cluster").findall(token)
    return ["".join(clusters[start : start + 2 * most]) for start in range(0, len(clusters), 2 * most)]
