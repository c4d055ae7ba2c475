"""Lucene's English analysis, token for token: what Lucene 9 makes of a text with its EnglishAnalyzer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache, lru_cache, partial
from pathlib import Path

# EnglishAnalyzer.ENGLISH_STOP_WORDS_SET
_STOP_WORDS = """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was
will with
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

# StandardTokenizer's default: it reads through a window of so many UTF-16 code units, and cuts what is longer.
MAX_TOKEN_LENGTH = 255

# The same grammar as `_unicode_token`, for the characters of ASCII. Underscores alone are matched, outside the group.
_ASCII_TOKEN = re.compile(
    r"(_*+[A-Za-z0-9]\w*+(?:(?:(?<=[A-Za-z])[.':](?=[A-Za-z])|(?<=[0-9])[.',;](?=[0-9]))\w++)*+)|_++",
    re.ASCII,
)

_BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")

_CHARACTERS = Path(__file__).with_name("lucene_characters.json")

# Java's lower case goes character by character; Python's gives two characters for the one, a final form for the other.
_LOWER_CASE = str.maketrans({"\u0130": "i", "\u03a3": "\u03c3"})


def analyze_english(text: str) -> list[str]:
    """A text's terms: cut at Unicode's word boundaries, possessive 's off, lower case, no stop words, Porter's stems.

    This is Lucene's StandardTokenizer (UAX #29, in which every ideograph and hiragana is a token and a run of Thai is
    one), EnglishPossessiveFilter, LowerCaseFilter, StopFilter and PorterStemFilter: EnglishAnalyzer in Lucene, and
    what pyserini's `get_lucene_analyzer()` gives.
    """
    pattern = _ASCII_TOKEN if text.isascii() else _unicode_token()
    tokens = pattern.findall(text)
    # A character has two code units at most, so shorter tokens need no measuring.
    if max(map(len, tokens), default=0) > MAX_TOKEN_LENGTH // 2:
        tokens = _within_window(text, pattern)
    return [term for token in tokens if (term := _term(token))]


# The cache holds a language's common words; what it drops costs a stemming again.
@lru_cache(maxsize=1 << 18)
def _term(token: str) -> str:
    """What stands in the index for a token, or nothing."""
    if token[-2:-1] in ("'", "\u2019", "\uff07") and token[-1] in "sS":
        token = token[:-2]
    token = token.translate(_LOWER_CASE).lower()
    if token in STOP_WORDS:
        return ""
    units = _code_units(token)
    return _stem()(units).replace("\0", "") if len(units) > 2 else token


@cache
def _stem() -> Callable[[str], str]:
    """Porter's stemmer of 1980 with the two departures of his own later programs, as Lucene has it."""
    from nltk.stem.porter import PorterStemmer  # takes a second to import, and what reads stored runs stems nothing

    stemmer = PorterStemmer(mode=PorterStemmer.MARTIN_EXTENSIONS)
    return partial(stemmer.stem, to_lowercase=False)


def _code_units(text: str) -> str:
    """The text with as many characters as Java counts: those that UTF-16 writes as two have a NUL behind them."""
    return text if text.isascii() else _BEYOND_16_BITS.sub(r"\g<0>\0", text)


def _within_window(text: str, pattern: re.Pattern[str]) -> list[str]:
    """The tokens, each the longest that the window shows from where the last one ended."""
    tokens = []
    place = 0
    while found := pattern.search(text, place):
        place, end = found.span()
        if not found[1] or len(_code_units(found[1])) <= MAX_TOKEN_LENGTH:
            tokens.append(found[1] or "")
            place = end
        while place < end:
            seen = pattern.match(text, place, _window_end(text, place))
            # A window full of underscores holds no token, but the next one, a character on, may.
            place = seen.end() if seen and seen[1] else place + 1
            if seen and seen[1]:
                tokens.append(seen[1])
    return tokens


def _window_end(text: str, start: int) -> int:
    """Where the window that starts there ends; a character of two code units is in it as a whole or not."""
    end = start + MAX_TOKEN_LENGTH
    while (excess := len(_code_units(text[start:end])) - MAX_TOKEN_LENGTH) > 0:
        end -= max(1, excess // 2)
    return end


@cache
def _unicode_token() -> re.Pattern[str]:
    """StandardTokenizer's grammar: the word boundary rules of UAX #29, with the number of each rule beside it.

    The classes of characters are stored, not taken from a library: Lucene 9 keeps to Unicode 12.1, and the tokens
    of an index should not change with what is installed.
    """
    classes = {name: f"[{_ranges(codes)}]" for name, codes in json.loads(_CHARACTERS.read_text("ascii")).items()}
    extend = classes["extend"]

    def extended(name: str) -> str:
        return f"{classes[name]}{extend}*+"  # WB4

    letter, hebrew, number, kana, connector = map(extended, ("letter", "hebrew", "numeric", "katakana", "connector"))
    letters = f"{letter}(?:{extended('mid_letter')}{letter})*+"  # WB5-7
    hebrew_quoted = f"{hebrew}(?:'{extend}*+|\"{extend}*+{hebrew})"  # WB7a-c
    numbers = f"{number}(?:(?:{extended('mid_number')})?{number})*+"  # WB8, 11, 12
    run = f"(?:(?:{kana})++|(?:{hebrew_quoted}|{numbers}|{letters})++)"  # WB9, 10, 13
    word = f"(?:{connector})*+{run}(?:(?:{connector})++{run})*+(?:{connector})*+"  # WB13a, b
    # What extends an emoji ends at a presentation selector; after a zero width joiner the next emoji may follow.
    part = f"(?:(?![\ufe0e\ufe0f]){extend})"
    emoji, modifier = classes["emoji"], "[\U0001f3fb-\U0001f3ff]"
    further = f"(?:(?<=\u200d){emoji}|\ufe0f(?:\u200d++{emoji}|\u200d{modifier})){part}*+"
    tags = "\ufe0f[\U000e0020-\U000e007e]++\U000e007f"
    emojis = (
        f"\u200d*+{emoji}{part}*+(?:{tags}|(?:{further})*+\ufe0f?)|"
        f"{modifier}{part}*+(?:(?=(?<=\u200d){emoji})(?:{further})*+\ufe0f?)?"
    )
    # These are letters too, and words with what follows them but for this.
    lettered = f"(?=[\u2139\u24c2\U0001f170\U0001f171\U0001f17e\U0001f17f]){emoji}{part}*+(?:{further})++\ufe0f?"
    keycap = f"[#*]{part}*\ufe0f?\u20e3{part}*+"
    flag = f"(?:{extended('flag')}){{2}}"
    others = f"(?:{extended('south_east')})++|{extended('single')}"
    # What may begin a token and is none is matched as well, outside the group, so that nobody looks at it twice.
    return re.compile(f"({lettered}|{word}|{emojis}|{keycap}|{flag}|{others})|{classes['connector']}++|\u200d++")


def _ranges(codes: str) -> str:
    """`30-39 5F` as the inside of a regular expression's class."""
    return "".join("-".join(f"\\U{int(end, 16):08x}" for end in run.split("-")) for run in codes.split())
