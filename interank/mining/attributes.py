"""Reads the attributes of rows as dumps write them, many at a time; a row that is written otherwise is left to lxml."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

# What stands for the quotes, and between rows, once no row is left that holds such a byte.
_QUOTE, _BETWEEN = "\0", "\x01"

_NEXT = " +([A-Za-z_][A-Za-z0-9_.-]*)="


class _Entity(NamedTuple):
    """A character as it is written, after its `&`."""

    number: int
    """The first four bytes, or three, as a number."""
    mask: int
    length: int
    character: int


def _entity(written: str, character: str) -> _Entity:
    lead = written.encode()[:4]
    return _Entity(int.from_bytes(lead, "little"), (1 << 8 * len(lead)) - 1, len(written), ord(character))


# The most frequent first.
_ENTITIES = tuple(
    _entity(*pair)
    for pair in (
        *(("lt;", "<"), ("gt;", ">"), ("#xA;", "\n"), ("quot;", '"'), ("amp;", "&")),
        *(("#xD;", "\r"), ("#x9;", "\t"), ("apos;", "'")),
    )
)
_LONGEST = max(entity.length for entity in _ENTITIES)


def plain_attributes(rows: Sequence[bytes]) -> list[dict[str, str]] | None:
    """The attributes of rows, each one element that holds one `<`; None if any is written unlike a dump's.

    A dump's has double quotes, no control characters but tabs, no entities but those an XML writer makes, and nothing
    between a name, its `=` and its value. What is unlike it may be sound or not. This takes two thirds of lxml's time.
    """
    # In a value, as outside, a tab is a space to XML.
    joined = _BETWEEN.encode().join(rows).replace(b"\t", b" ")
    if not rows or np.count_nonzero(np.frombuffer(joined, np.uint8) < ord(" ")) != len(rows) - 1:
        return None
    unescaped = _unescaped(joined.replace(b'"', _QUOTE.encode()))
    if unescaped is None:
        return None
    try:
        text = unescaped.decode()
    except UnicodeDecodeError:
        return None
    if not text.isascii() and ("\ufffe" in text or "\uffff" in text):
        return None
    found = []
    start = 0
    for _ in rows:
        # Finding a character is many times faster than splitting by it.
        end = text.find(_BETWEEN, start)
        parts = text[start : end if end >= 0 else None].split(_QUOTE)
        start = end + 1
        names = _names(tuple(parts[::2]))
        if names is None or len(parts) % 2 == 0:
            return None
        found.append(dict(zip(names, parts[1::2], strict=True)))
    return found


@lru_cache(1024)
def _names(between: tuple[str, ...]) -> tuple[str, ...] | None:
    """The names in what stands around a row's values; None if it is not names alone, each another one."""
    *begins, ends = between
    matches = [re.fullmatch(_NEXT if place else "<row" + _NEXT, part) for place, part in enumerate(begins)]
    names = tuple(match[1] for match in matches if match)
    sound = len(set(names)) == len(begins) > 0 and "xmlns" not in names and re.fullmatch(" */>", ends)
    return names if sound else None


def _unescaped(raw: bytes) -> bytes | None:
    """The bytes with characters in place of entities; None if there is any other `&`."""
    content = np.frombuffer(raw, np.uint8)
    places = np.flatnonzero(content == ord("&"))
    if not places.size:
        return raw
    if places[-1] + _LONGEST >= content.size:
        return None
    # The four bytes after each `&` as one number.
    follows = np.ndarray((content.size - 3,), "<u4", raw, strides=(1,))[places + 1]
    changed, stays = content.copy(), np.ones(content.size, bool)
    left = places.size
    for entity in _ENTITIES:
        found = places[follows & entity.mask == entity.number]
        if entity.length > 4 and (content[found + entity.length] != ord(";")).any():
            return None
        changed[found] = entity.character
        for distance in range(1, entity.length + 1):
            stays[found + distance] = False
        left -= found.size
        if not left:
            return changed[stays].tobytes()
    return None
