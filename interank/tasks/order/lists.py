"""A query's documents as a teacher ordered them, and the same in another order."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace

from interank.tasks.order.ordering import Ordering
from interank.types import Document, Query, Split

# The ways in which an explanation names a document of the list: `[3]`, `[1, 4]`, `passage 3`, `Documents 2, 5 and 7`.
_BRACKETED = re.compile(r"\[\s*\d{1,3}(?:\s*,\s*\d{1,3})*\s*\]")
_NOUN = r"(?:passage|document|doc|text|candidate|result)s?"
_NAMED = re.compile(
    rf"\b{_NOUN}\s+#?\d{{1,3}}\b(?:(?:\s*,\s*(?:and\s+|or\s+)?|\s+(?:and|or|&)\s+)#?\d{{1,3}}\b)*", re.I
)
# Ranges and ordinals name documents by position, and are wrong for any other order.
_TO = r"\s*(?:[-\u2013\u2014]|to|through)\s*"
_RANGE = re.compile(rf"\[\s*\d+\s*\]?{_TO}\[?\s*\d+\s*\]|\b{_NOUN}\s+\d+{_TO}\d", re.I)
_ORDINAL = re.compile(
    rf"\b(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last|previous|next|preceding|following)\s+"
    rf"(?:\w+\s+)?{_NOUN}\b|\b{_NOUN}\s+(?:above|below)\b",
    re.I,
)
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class ListExample:
    """A query's documents as they are shown, with the order that a teacher put them in and why."""

    query: Query
    documents: tuple[Document, ...]
    ordering: Ordering
    """Its reasoning names documents as they are shown, counted from 1: `[1]` is `documents[0]`."""
    split: Split = "train"


def shuffled(example: ListExample, rng: random.Random) -> ListExample | None:
    """The same documents in another order, and the explanation with the numbers changed along.

    Returns:
        None where the explanation names documents by position ("the first passage", "[2]-[5]").
    """
    places = rng.sample(range(len(example.documents)), len(example.documents))
    new_places = {old: new for new, old in enumerate(places)}
    reasoning = moved(example.ordering.reasoning, new_places)
    if reasoning is None:
        return None
    positions = tuple(new_places[old] for old in example.ordering.positions)
    documents = tuple(example.documents[old] for old in places)
    return replace(example, documents=documents, ordering=Ordering(positions, reasoning))


def moved(reasoning: str, new_places: dict[int, int]) -> str | None:
    """The explanation with each document's number changed from its old place to its new one.

    Args:
        reasoning: The explanation, which counts documents from 1.
        new_places: The new place of each old one, both counted from 0.

    Returns:
        None where it names documents by position, or one that is not in the list.
    """
    if _RANGE.search(reasoning) or _ORDINAL.search(reasoning):
        return None
    unknown = False

    def renumbered(match: re.Match[str]) -> str:
        nonlocal unknown
        old = int(match[0]) - 1
        unknown = unknown or old not in new_places
        return str(new_places.get(old, old) + 1)

    def renamed(match: re.Match[str]) -> str:
        return _NUMBER.sub(renumbered, match[0])

    # In one pass, so that `passage [3]` is not moved twice.
    text = re.sub(f"{_BRACKETED.pattern}|{_NAMED.pattern}", renamed, reasoning, flags=re.I)
    return None if unknown else text
