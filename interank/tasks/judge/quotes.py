"""Quotes in an explanation: what it puts between quotation marks, and whether the document says so."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

# Apostrophes and inches: straight and single marks count only where no letter or digit stands outside of them.
_QUOTE = re.compile(
    r"“(?P<curly>[^“”]+)”"
    r"|«(?P<angle>[^«»]+)»"
    r'|(?<!\w)"(?P<straight>[^"]+)"(?!\w)'
    r"|`(?P<code>[^`]+)`"
    "|(?<!\\w)\u2018(?P<single_curly>[^\u2018]+?)\u2019(?!\\w)"
    r"|(?<!\w)'(?P<single>[^'\n]+(?:'\w[^'\n]*)*)'(?!\w)"
)
_ELLIPSIS = re.compile(r"\[?(?:\.\.\.+|…)\]?")
# Quotation marks, apostrophes and dashes of other shapes.
_SAME_MARKS = str.maketrans("“”«»\u2018\u2019`\u2013\u2014", '""""\'\'\'--')
_EDGES = " \t\n.,;:!?\"'()[]"


class Quotes(NamedTuple):
    """How many quotes of the document an explanation holds, and how many of them the document has verbatim."""

    found: int
    total: int


def quotes(text: str) -> list[str]:
    """What stands between quotation marks, in order, without the marks; one without a letter or digit is none."""
    matches = (next(part for part in match.groups() if part is not None) for match in _QUOTE.finditer(text))
    return [quote for quote in matches if any(character.isalnum() for character in quote)]


def verified(explanation: str, document: str, query: str = "") -> Quotes:
    """Look the explanation's quotes up in the document.

    Case, white space, the kind of marks and punctuation at the edges do not matter; around an ellipsis each part is
    looked up. A quote that stands in the query and not in the document is one of the query and does not count.
    """
    where, asked = _plain(document), _plain(query)
    found = count = 0
    for quote in quotes(explanation):
        parts = [part for part in (_plain(piece).strip(_EDGES) for piece in _ELLIPSIS.split(quote)) if part]
        is_found = all(part in where for part in parts)
        if is_found or not all(part in asked for part in parts):
            found += is_found
            count += 1
    return Quotes(found, count)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).translate(_SAME_MARKS).casefold().split())
