"""Quotes in an explanation: the text between quotation marks, and whether the document contains it."""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate
from typing import NamedTuple

# Straight and single marks count only where no letter or digit stands outside of them: others are apostrophes and
# inches. Straight single marks hold 30 apostrophes at most: without a bound every mark is followed to the line's end.
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
# The consecutive words that two texts have to share to count as copied.
_COPIED = 8
# Words of the shortest quote whose sentences `without_quoted` removes, and the share of the document that they may be.
_LEAST, _MOST = 3, 0.75


class Quotes(NamedTuple):
    """How many quotes of the document an explanation holds, and how many of them the document has verbatim."""

    found: int
    total: int


def quotes(text: str) -> list[str]:
    """The texts between quotation marks, in order, without the marks; those without a letter or digit are left out."""
    matches = (next(part for part in match.groups() if part is not None) for match in _QUOTE.finditer(text))
    return [quote for quote in matches if _says_something(quote)]


def quoted_places(text: str) -> list[tuple[int, int]]:
    """Where the text's quotes begin and end, the marks included, in order."""
    return [match.span() for match in _QUOTE.finditer(text) if _says_something(match.group())]


def _says_something(quote: str) -> bool:
    return any(character.isalnum() for character in quote)


def verified(explanation: str, document: str, query: str = "") -> Quotes:
    """Count the explanation's quotes, and those that the document contains.

    Case, white space, the kind of marks and punctuation at the edges do not matter; around an ellipsis each part is
    looked up. A quote that stands in the query and not in the document does not count.
    """
    plain_document, plain_query = _plain(document), _plain(query)
    found = count = 0
    for quote in quotes(explanation):
        parts = _parts(quote)
        is_found = all(part in plain_document for part in parts)
        if is_found or not all(part in plain_query for part in parts):
            found += is_found
            count += 1
    return Quotes(found, count)


class QuotePlaces(NamedTuple):
    """A quote: its place in the explanation, marks included, and its places in the document, in code points."""

    start: int
    end: int
    found: bool
    """True where the document contains the quote, by the rules of `verified`."""
    of_query: bool
    """True where the query contains the quote and the document does not."""
    spans: tuple[tuple[int, int], ...]
    """Start and end of each part's first occurrence in the document."""


def located(explanation: str, document: str, query: str = "") -> list[QuotePlaces]:
    """The explanation's quotes, in order, looked up as in `verified`."""
    plain_document, plain_query, places = _plain(document), _plain(query), _places(document)
    results = []
    for start, end in quoted_places(explanation):
        parts = _parts(explanation[start + 1 : end - 1])
        at = [plain_document.find(part) for part in parts]
        found = all(place >= 0 for place in at)
        spans = [(places[n], places[n + len(part) - 1] + 1) for part, n in zip(parts, at, strict=True) if found]
        results.append(
            QuotePlaces(start, end, found, not found and all(part in plain_query for part in parts), tuple(spans))
        )
    return results


def _places(text: str) -> list[int]:
    """The position in the text of each character of its plain form."""
    places: list[int] = []
    start, blank = 0, True
    while start < len(text):
        stop = _end_of_composed(text, start)
        for letter in _alike(text[start:stop]):
            # The plain form has single blanks, and none at its beginning.
            if not (blank and letter.isspace()):
                places.append(start)
            blank = letter.isspace()
        start = stop
    return places[:-1] if blank and places else places


def _end_of_composed(text: str, start: int) -> int:
    """The end of what NFKC composes with the character at `start`: combining marks, the parts of a syllable."""
    stop, whole = start + 1, unicodedata.normalize("NFKC", text[start])
    while stop < len(text):
        following = unicodedata.normalize("NFKC", text[stop])
        longer = unicodedata.normalize("NFKC", text[start : stop + 1])
        if not unicodedata.combining(text[stop]) and longer == whole + following:
            break
        stop, whole = stop + 1, longer
    return stop


def taken(text: str, source: str) -> float:
    """The share of the text's words that are quoted, or copied from the source.

    Copied are 8 consecutive words or more, and whole sentences of any length.
    """
    quoted_texts = quotes(text)
    rest = text
    for quote in quoted_texts:
        rest = rest.replace(quote, "|", 1)
    # `|` stands for a quote, so that no copy reaches across one.
    sentences = [re.findall(r"\w+|\|", sentence) for sentence in _SENTENCE.split(rest.casefold())]
    words, there = [word for sentence in sentences for word in sentence], f" {' '.join(_words(source))} "
    ends = list(accumulate(map(len, sentences)))
    runs = [(end - len(sentence), end) for sentence, end in zip(sentences, ends, strict=True) if sentence]
    runs += [(start, start + _COPIED) for start in range(len(words) - _COPIED + 1)]
    copied = [False] * len(words)
    for start, end in runs:
        if f" {' '.join(words[start:end])} " in there:
            copied[start:end] = [True] * (end - start)
    quoted = sum(len(_words(quote)) for quote in quoted_texts)
    return (quoted + sum(copied)) / max(1, len(_words(text)))


def without_quoted(document: str, explanation: str) -> str:
    """The document without the sentences that the explanation quotes from.

    A quote is looked up as in `verified`. Parts of fewer than three words do not count: a letter or a name stands in
    most sentences, and a document without those would say nothing about the quote. Where the sentences are more than
    three quarters of it, as where it is a single sentence, the quoted words alone are removed, for the same reason.
    """
    sentences = [sentence for sentence in _SENTENCE.split(document) if sentence.strip()]
    plain = [_plain(sentence) for sentence in sentences]
    ends = list(accumulate((len(each) + 1 for each in plain), initial=0))
    where, removed, quoted = " ".join(plain), set[int](), list[str]()
    for quote in quotes(explanation):
        parts = _parts(quote)
        if not all(part in where for part in parts):
            continue
        for part in parts:
            if len(_words(part)) < _LEAST:
                continue
            quoted.append(part)
            for match in re.finditer(re.escape(part), where):
                removed |= {
                    place
                    for place in range(len(plain))
                    if ends[place] < match.end() and match.start() < ends[place] + len(plain[place])
                }
    if sum(len(_words(plain[place])) for place in removed) > _MOST * len(_words(where)):
        return _without_parts(document, quoted)
    return " ".join(sentence for place, sentence in enumerate(sentences) if place not in removed)


def _without_parts(document: str, parts: list[str]) -> str:
    """The document without these parts, in plain form, wherever they stand, and without sentences of no other words."""
    plain, places = _plain(document), _places(document)
    cut = {
        place
        for part in parts
        for match in re.finditer(re.escape(part), plain)
        for place in range(places[match.start()], places[match.end() - 1] + 1)
    }
    left = "".join(letter for place, letter in enumerate(document) if place not in cut)
    return " ".join(" ".join(sentence.split()) for sentence in _SENTENCE.split(left) if _says_something(sentence))


def _parts(quote: str) -> list[str]:
    """The parts of a quote between its ellipses, in the plain form that is looked up."""
    return [part for part in (_plain(piece).strip(_EDGES) for piece in _ELLIPSIS.split(quote)) if part]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _plain(text: str) -> str:
    return " ".join(_alike(text).split())


def _alike(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_SAME_MARKS).casefold()
