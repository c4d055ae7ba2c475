"""Finds the rows in a dump's lines, and parses them: lxml's reading of a row is the one that counts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from lxml import etree

from interank.mining.attributes import plain_attributes


@dataclass(frozen=True, slots=True)
class Keep:
    """Drops rows unread by how they begin; a row that begins otherwise is kept, and is for the caller to look at."""

    beginning: bytes
    """A pattern of what follows `<row `; its one group is the value that decides."""
    wanted: frozenset[bytes]
    """The values of rows to keep."""

    def __call__(self, row: bytes) -> bool:
        """Whether to keep the row."""
        match = re.match(b"<row " + self.beginning, row)
        return match is None or match[1] in self.wanted


class Lines(NamedTuple):
    """What a block of whole lines holds, a row in each."""

    total: int
    """How many lines there are."""
    numbers: list[int]
    """Which lines the rows stand in, from 0."""
    starts: list[int]
    """Where each row begins in the block; what is between its `<` and its `/>` has not been looked at."""
    ends: list[int]


# A name with a prefix, or what looks like one within a value.
_PREFIXED = re.compile(rb":[^\s=<>\"'/&;]+\s*=\s*[\"']")


class MalformedError(Exception):
    """What stands there is no well-formed XML; says why."""


def is_plain(bare: bytes) -> bool:
    """Whether a line, without the blanks around it, looks like one row and nothing else."""
    return bare.startswith(b"<row ") and bare.endswith(b"/>") and bare.count(b"<") == 1


def plain_rows(block: bytes, keep: Keep | None) -> Lines | None:
    """The rows, or those to keep, of a block of whole lines; None unless each line holds one row.

    Two searches and one match for each row walk through the block, so that what is dropped costs little.
    """
    row = block.find(b"<")
    ending = block[max(block.rfind(b"/>"), 0) :]
    if ending not in (b"/>\n", b"/>\r\n") or block[: max(row, 0)].strip(b" \t"):
        return None
    indent = row
    begins = re.escape(block[:row]) + b"<row " + (b"(?:" + keep.beginning + b")?" if keep else b"")
    match = re.compile(begins).match(block)
    next_begins = re.compile(re.escape(ending) + begins).match
    find, wanted = block.find, keep.wanted if keep else frozenset()
    # From the end of a line back to the end of the row.
    back = len(ending) - len(b"/>")
    numbers: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    number = 0
    while match is not None:
        after = find(b"<", row + 1)
        end = after - indent if after > 0 else len(block)
        # A line end inside a value is well-formed, but not one row a line.
        if find(b"\n", row) != end - 1:
            return None
        if keep is None or (value := match[1]) is None or value in wanted:
            numbers.append(number)
            starts.append(row)
            ends.append(end - back)
        number += 1
        if after < 0:
            return Lines(number, numbers, starts, ends)
        row = after
        match = next_begins(block, end - len(ending))
    return None


def read_plain(rows: Sequence[bytes]) -> list[dict[str, str]]:
    """The attributes of rows that `plain_rows` found.

    Raises:
        MalformedError: Some are not well-formed.
    """
    found = plain_attributes(rows)
    return parsed_rows(b"".join(rows)) if found is None else found


def parsed_rows(fragment: bytes) -> list[dict[str, str]]:
    """The attributes of the rows among the whole elements of a fragment.

    Raises:
        MalformedError: It is not well-formed.
    """
    document = b"<_>" + fragment + b"</_>"
    try:
        # A target that collects is twice as fast as a tree that is walked, but lets prefixes pass that nobody declared.
        if b"xmlns" in fragment or _PREFIXED.search(fragment):
            parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
            return [dict(row.attrib) for row in etree.fromstring(document, parser).iter("row")]
        found: list[dict[str, str]] = etree.fromstring(document, _collecting())
    except etree.XMLSyntaxError as error:
        # "..., line 1, column 7" would be the line within the fragment.
        said = re.sub(r", line \d+, column \d+.*", "", str(error.msg), flags=re.DOTALL)
        raise MalformedError(said) from None
    return found


@cache
def _collecting() -> etree.XMLParser:
    # One for all, since making one takes as long as reading ten rows.
    # Nothing can declare an entity here; told not to resolve any, libxml2 would hand over "&#38;" for "&amp;".
    return etree.XMLParser(target=_Rows(), no_network=True, huge_tree=True)


class _Rows:
    """A parser's target that keeps the attributes of rows."""

    def __init__(self) -> None:
        self._rows: list[dict[str, str]] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        if tag == "row":
            self._rows.append(dict(attributes))

    def close(self) -> list[dict[str, str]]:
        """The document has ended, well or at a fault; the next one may follow."""
        rows, self._rows = self._rows, []
        return rows
