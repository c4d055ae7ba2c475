"""Lucene's English analysis: the same tokens as EnglishAnalyzer of Lucene 9."""

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

# StandardTokenizer's default: the size of its reading window in UTF-16 code units; longer tokens are cut.
MAX_TOKEN_LENGTH = 255

# The grammar of `_unicode_token` for ASCII. Runs of underscores match too, but outside the group.
_ASCII_TOKEN = re.compile(
    r"(_*+[A-Za-z0-9]\w*+(?:(?:(?<=[A-Za-z])[.':](?=[A-Za-z])|(?<=[0-9])[.',;](?=[0-9]))\w++)*+)|_++",
    re.ASCII,
)

_BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")

_CHARACTERS = Path(__file__).with_name("lucene_characters.json")

# Java lowers each character by itself; Python makes two characters of the first of these, a final form of the second.
_LOWER_CASE = str.maketrans({"\u0130": "i", "\u03a3": "\u03c3"})


def analyze_english(text: str) -> list[str]:
    """A text's terms: split at Unicode's word boundaries, without possessive 's, lower case, no stop words, stemmed.

    This is Lucene's StandardTokenizer (UAX #29, in which every ideograph and hiragana is a token, and so is a run of
    Thai), EnglishPossessiveFilter, LowerCaseFilter, StopFilter and PorterStemFilter: Lucene's EnglishAnalyzer, which
    pyserini's `get_lucene_analyzer()` returns.
    """
    pattern = _ASCII_TOKEN if text.isascii() else _unicode_token()
    tokens = pattern.findall(text)
    # A character has at most two code units, so shorter tokens cannot exceed the limit.
    if max(map(len, tokens), default=0) > MAX_TOKEN_LENGTH // 2:
        tokens = _within_window(text, pattern)
    return [term for token in tokens if (term := _term(token))]


# The cache holds a language's common words; a dropped word is stemmed again.
@lru_cache(maxsize=1 << 18)
def _term(token: str) -> str:
    """The index term of a token; empty for a stop word."""
    if token[-2:-1] in ("'", "\u2019", "\uff07") and token[-1] in "sS":
        token = token[:-2]
    token = token.translate(_LOWER_CASE).lower()
    if token in STOP_WORDS:
        return ""
    units = _code_units(token)
    return _stem()(units).replace("\0", "") if len(units) > 2 else token


@cache
def _stem() -> Callable[[str], str]:
    """Porter's stemmer of 1980 with the two changes of his later programs, as in Lucene."""
    from nltk.stem.porter import PorterStemmer  # takes a second to import, and stored runs need no stemmer

    stemmer = PorterStemmer(mode=PorterStemmer.MARTIN_EXTENSIONS)
    return partial(stemmer.stem, to_lowercase=False)


def _code_units(text: str) -> str:
    """The text with as many characters as Java counts: one of two UTF-16 code units gets a NUL after it."""
    return text if text.isascii() else _BEYOND_16_BITS.sub(r"\g<0>\0", text)


def _within_window(text: str, pattern: re.Pattern[str]) -> list[str]:
    """The tokens, each the longest within a window that begins where the last token ended."""
    tokens = []
    place = 0
    while whole := pattern.search(text, place):
        place, end = whole.span()
        if not whole[1] or len(_code_units(whole[1])) <= MAX_TOKEN_LENGTH:
            tokens.append(whole[1] or "")
            place = end
        while place < end:
            piece = pattern.match(text, place, _window_end(text, place))
            # A window full of underscores holds no token, but the window one character later may.
            place = piece.end() if piece and piece[1] else place + 1
            if piece and piece[1]:
                tokens.append(piece[1])
    return tokens


def _window_end(text: str, start: int) -> int:
    """The end of the window that begins at `start`; a character of two code units is never split."""
    end = start + MAX_TOKEN_LENGTH
    while (excess := len(_code_units(text[start:end])) - MAX_TOKEN_LENGTH) > 0:
        end -= max(1, excess // 2)
    return end


@cache
def _unicode_token() -> re.Pattern[str]:
    """StandardTokenizer's grammar: the word boundary rules of UAX #29, with the number of each rule in a comment.

    The character classes are stored in a file: Lucene 9 keeps to Unicode 12.1, and an index's tokens should not
    change with an installed library.
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
    # An emoji's extension ends at a presentation selector; after a zero width joiner another emoji may follow.
    part = f"(?:(?![\ufe0e\ufe0f]){extend})"
    emoji, modifier = classes["emoji"], "[\U0001f3fb-\U0001f3ff]"
    further = f"(?:(?<=\u200d){emoji}|\ufe0f(?:\u200d++{emoji}|\u200d{modifier})){part}*+"
    tags = "\ufe0f[\U000e0020-\U000e007e]++\U000e007f"
    emojis = (
        f"\u200d*+{emoji}{part}*+(?:{tags}|(?:{further})*+\ufe0f?)|"
        f"{modifier}{part}*+(?:(?=(?<=\u200d){emoji})(?:{further})*+\ufe0f?)?"
    )
    # These emojis are letters too; without this rule they would form a word with the following letters.
    lettered = f"(?=[\u2139\u24c2\U0001f170\U0001f171\U0001f17e\U0001f17f]){emoji}{part}*+(?:{further})++\ufe0f?"
    keycap = f"[#*]{part}*\ufe0f?\u20e3{part}*+"
    flag = f"(?:{extended('flag')}){{2}}"
    others = f"(?:{extended('south_east')})++|{extended('single')}"
    # Characters that may begin a token but form none are matched outside the group, so that each is scanned only once.
    return re.compile(f"({lettered}|{word}|{emojis}|{keycap}|{flag}|{others})|{classes['connector']}++|\u200d++")


def _ranges(codes: str) -> str:
    """The ranges, such as `30-39 5F`, as the inside of a regular expression's character class."""
    return "".join("-".join(f"\\U{int(end, 16):08x}" for end in run.split("-")) for run in codes.split())
