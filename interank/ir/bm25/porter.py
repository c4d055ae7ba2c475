"""Porter's stemmer of 1980, with the two departures of his own later programs, as Lucene has it.

M. F. Porter, An algorithm for suffix stripping, Program 14(3), 1980; the steps below have the paper's numbers.
Snowball's "porter" lacks the departures, and its "english" is another stemmer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_STEP_2 = {
    "ational": "ate",
    "tional": "tion",
    "enci": "ence",
    "anci": "ance",
    "izer": "ize",
    "bli": "ble",  # a departure: the paper has abli, able
    "alli": "al",
    "entli": "ent",
    "eli": "e",
    "ousli": "ous",
    "ization": "ize",
    "ation": "ate",
    "ator": "ate",
    "alism": "al",
    "iveness": "ive",
    "fulness": "ful",
    "ousness": "ous",
    "aliti": "al",
    "iviti": "ive",
    "biliti": "ble",
    "logi": "log",  # a departure: the paper lets it be
}
_STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
_ENDINGS_4 = "al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize"
_STEP_4 = dict.fromkeys(_ENDINGS_4.split(), "")


def _longest_ending(endings: Iterable[str]) -> re.Pattern[str]:
    """What finds the longest of the endings that a word has: a search takes the leftmost start."""
    return re.compile(f"(?:{'|'.join(endings)})$")


_ENDING_2, _ENDING_3, _ENDING_4 = map(_longest_ending, (_STEP_2, _STEP_3, _STEP_4))

# [C](VC)^m[V]: a y is a vowel after a consonant, and whatever is no vowel is a consonant.
_VOWELS = "aeiou"


def stem(word: str) -> str:
    """The stem of a word in lower case; words of one or two letters are for the caller to leave alone."""
    word = _step_1(word)
    word = _replaced(word, _ENDING_2, _STEP_2, least=1)
    word = _replaced(word, _ENDING_3, _STEP_3, least=1)
    word = _replaced(word, _ENDING_4, _STEP_4, least=2)
    return _step_5(word)


def _step_1(word: str) -> str:
    """Plurals, -ed and -ing, and the y that ends a word."""
    if word.endswith(("sses", "ies")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]

    if word.endswith("eed"):
        if _measure(word[:-3]) > 0:
            word = word[:-1]
    else:
        for ending in ("ed", "ing"):
            if word.endswith(ending):
                if "v" in _shape(word[: -len(ending)]):
                    word = _mended(word[: -len(ending)])
                break

    if word.endswith("y") and "v" in _shape(word[:-1]):
        word = word[:-1] + "i"
    return word


def _mended(word: str) -> str:
    """A word that lost its -ed or -ing, with the end that it has elsewhere: conflat(e), hop(p), fil(e)."""
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if _doubled(word):
        return word if word[-1] in "lsz" else word[:-1]
    if _measure(word) == 1 and _short(word):
        return word + "e"
    return word


def _replaced(word: str, ending: re.Pattern[str], by: dict[str, str], *, least: int) -> str:
    """The word with its ending replaced, if what stands before has the least measure."""
    found = ending.search(word)
    if not found:
        return word
    rest = word[: found.start()]
    if _measure(rest) < least or (found[0] == "ion" and not rest.endswith(("s", "t"))):
        return word
    return rest + by[found[0]]


def _step_5(word: str) -> str:
    """A final e, and a doubled l."""
    if word.endswith("e"):
        rest = word[:-1]
        measure = _measure(rest)
        if measure > 1 or (measure == 1 and not _short(rest)):
            word = rest
    if word.endswith("ll") and _measure(word) > 1:
        word = word[:-1]
    return word


def _shape(word: str) -> str:
    """The word's letters as c (consonant) and v (vowel)."""
    shape = ""
    for letter in word:
        vowel = letter in _VOWELS or (letter == "y" and shape[-1:] == "c")
        shape += "v" if vowel else "c"
    return shape


def _measure(word: str) -> int:
    """The paper's m: how often a consonant follows a vowel."""
    return _shape(word).count("vc")


def _doubled(word: str) -> bool:
    """Whether the word ends in the same consonant twice."""
    return len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _short(word: str) -> bool:
    """Whether the word ends consonant, vowel, consonant, and the last is not w, x or y."""
    return _shape(word)[-3:] == "cvc" and word[-1] not in "wxy"
