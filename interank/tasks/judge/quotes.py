"""Quotes in an explanation: what it puts between quotation marks, and whether the document says so."""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate
from typing import NamedTuple

# Apostrophes and inches: straight and single marks count only where no letter or digit stands outside of them. Between
# straight single marks so many apostrophes stand at most: without a bound each mark is followed to the line's end.
_QUOTE = re.compile(
    r"“(?P<curly>[^“”]+)”"
    r"|«(?P<angle>[^«»]+)»"
    r'|(?<!\w)"(?P<straight>[^"]+)"(?!\w)'
    r"|`(?P<code>[^`]+)`"
    "|(?<!\\w)\u2018(?P<single_curly>[^\u2018]+?)\u2019(?!\\w)"
    r"|(?<!\w)'(?P<single>[^'\n]+(?:'\w[^'\n]*){0,30})'(?!\w)"
)
_ELLIPSIS = re.compile(r"\[?(?:\.\.\.+|…)\]?")
# Quotation marks, apostrophes and dashes of other shapes.
_SAME_MARKS = str.maketrans("“”«»\u2018\u2019`\u2013\u2014", '""""\'\'\'--')
_EDGES = " \t\n.,;:!?\"'()[]"
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
# So many words on end that two texts share are copied.
_COPIED = 8
# Words of the shortest quote by which sentences are told from others.
_LEAST = 3


class Quotes(NamedTuple):
    """How many quotes of the document an explanation holds, and how many of them the document has verbatim."""

    found: int
    total: int


def quotes(text: str) -> list[str]:
    """What stands between quotation marks, in order, without the marks; one without a letter or digit is none."""
    matches = (next(part for part in match.groups() if part is not None) for match in _QUOTE.finditer(text))
    return [quote for quote in matches if _says_something(quote)]


def quoted_places(text: str) -> list[tuple[int, int]]:
    """Where the text's quotes begin and end, the marks included, in order."""
    return [match.span() for match in _QUOTE.finditer(text) if _says_something(match.group())]


def _says_something(quote: str) -> bool:
    return any(character.isalnum() for character in quote)


def verified(explanation: str, document: str, query: str = "") -> Quotes:
    """Look the explanation's quotes up in the document.

    Case, white space, the kind of marks and punctuation at the edges do not matter; around an ellipsis each part is
    looked up. A quote that stands in the query and not in the document is one of the query and does not count.
    """
    where, asked = _plain(document), _plain(query)
    found = count = 0
    for quote in quotes(explanation):
        parts = _parts(quote)
        is_found = all(part in where for part in parts)
        if is_found or not all(part in asked for part in parts):
            found += is_found
            count += 1
    return Quotes(found, count)


class Located(NamedTuple):
    """A quote of a text: where it stands in it, marks included, and where in a document; places are code points."""

    start: int
    end: int
    found: bool
    """Whether the document has it, by the rules of `verified`."""
    of_query: bool
    """Whether the query has it and the document has not."""
    spans: tuple[tuple[int, int], ...]
    """From and to where the document says each part of it for the first time."""


def located(explanation: str, document: str, query: str = "") -> list[Located]:
    """The explanation's quotes, in order, looked up as in `verified`."""
    where, asked, places = _plain(document), _plain(query), _places(document)
    told = []
    for start, end in quoted_places(explanation):
        parts = _parts(explanation[start + 1 : end - 1])
        at = [where.find(part) for part in parts]
        found = all(place >= 0 for place in at)
        spans = [(places[n], places[n + len(part) - 1] + 1) for part, n in zip(parts, at, strict=True) if found]
        told.append(Located(start, end, found, not found and all(part in asked for part in parts), tuple(spans)))
    return told


def _places(text: str) -> list[int]:
    """From where in the text each character of its plain form is."""
    places: list[int] = []
    start, blank = 0, True
    while start < len(text):
        stop = _end_of_composed(text, start)
        for letter in _alike(text[start:stop]):
            # Blanks on end are one, and none begins the plain form.
            if not (blank and letter.isspace()):
                places.append(start)
            blank = letter.isspace()
        start = stop
    return places[:-1] if blank and places else places


def _end_of_composed(text: str, start: int) -> int:
    """Where what becomes one with the character at `start` ends: marks, and the parts of a syllable."""
    stop, whole = start + 1, unicodedata.normalize("NFKC", text[start])
    while stop < len(text):
        following = unicodedata.normalize("NFKC", text[stop])
        longer = unicodedata.normalize("NFKC", text[start : stop + 1])
        if not unicodedata.combining(text[stop]) and longer == whole + following:
            break
        stop, whole = stop + 1, longer
    return stop


def taken(text: str, source: str) -> float:
    """The share of the text's words that stand in quotes, or agree with the source in 8 words on end."""
    said = quotes(text)
    rest = text
    for quote in said:
        rest = rest.replace(quote, "|", 1)
    # No word, so that nothing is copied across a quote's place.
    words, there = re.findall(r"\w+|\|", rest.casefold()), " ".join(_words(source))
    copied = [False] * len(words)
    for start in range(len(words) - _COPIED + 1):
        if f" {' '.join(words[start : start + _COPIED])} " in f" {there} ":
            copied[start : start + _COPIED] = [True] * _COPIED
    quoted = sum(len(_words(quote)) for quote in said)
    return (quoted + sum(copied)) / max(1, len(_words(text)))


def without_quoted(document: str, explanation: str) -> str:
    """The document less the sentences that a quote of the explanation takes a part of.

    A quote is looked up as in `verified`. Fewer than three words on end are none here: a letter or a name stands in
    most sentences, and what is left without these says nothing of the quote.
    """
    sentences = [sentence for sentence in _SENTENCE.split(document) if sentence.strip()]
    plain = [_plain(sentence) for sentence in sentences]
    ends = list(accumulate((len(each) + 1 for each in plain), initial=0))
    where, told = " ".join(plain), set[int]()
    for quote in quotes(explanation):
        parts = _parts(quote)
        if not all(part in where for part in parts):
            continue
        for part in parts:
            if len(_words(part)) < _LEAST:
                continue
            for found in re.finditer(re.escape(part), where):
                told |= {
                    place
                    for place in range(len(plain))
                    if ends[place] < found.end() and found.start() < ends[place] + len(plain[place])
                }
    return " ".join(sentence for place, sentence in enumerate(sentences) if place not in told)


def _parts(quote: str) -> list[str]:
    """What stands between a quote's ellipses, as it is looked up."""
    return [part for part in (_plain(piece).strip(_EDGES) for piece in _ELLIPSIS.split(quote)) if part]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _plain(text: str) -> str:
    return " ".join(_alike(text).split())


def _alike(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_SAME_MARKS).casefold()
