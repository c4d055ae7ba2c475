"""A streaming reader of the rows of one XML file of a StackExchange dump, by lxml.

archive.org's dumps have one row on each line, and a block of rows is parsed at once. A block with a malformed row is
halved until that row is alone, so that only it is lost. A file that cannot be parsed in blocks, such as one with rows
in comments, is left to one parser of the whole file.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from lxml import etree

from interank.errors import InputError
from interank.mining.blocks import Blocks, Head, head_of, row_starts
from interank.mining.streams import CutShortError, Table

logger = logging.getLogger(__name__)

_FAULTS_SHOWN = 5
# Bytes parsed at once: so many that the overhead for each block matters little.
BLOCK = 1 << 19

# int() also takes "1_000", " 7 " and digits of other scripts, none of which a dump holds.
_INTEGER = re.compile("-?[0-9]{1,18}")


class BadRowError(Exception):
    """A row cannot be used; the message says why."""


class MalformedError(Exception):
    """A fragment is no well-formed XML; the message says why."""


class Row(NamedTuple):
    """One `row` element and the number of its first line."""

    line: int
    attributes: Mapping[str, str]

    def text(self, name: str) -> str:
        """The attribute's text, which may be empty.

        Raises:
            BadRowError: The attribute is missing.
        """
        if name not in self.attributes:
            raise BadRowError(f"{name} is missing")
        return self.attributes[name]

    def integer(self, name: str) -> int:
        """The attribute as an integer.

        Raises:
            BadRowError: The attribute is missing, or no integer.
        """
        value = self.text(name)
        if not _INTEGER.fullmatch(value):
            raise BadRowError(f"{name} is {value[:40]!r}, not an integer")
        return int(value)

    def optional_integer(self, name: str) -> int | None:
        """The attribute as an integer; None if it is missing.

        Raises:
            BadRowError: The attribute is no integer.
        """
        return self.integer(name) if name in self.attributes else None


class Tally:
    """Counts the skipped rows of one file and notes where it broke off, for one warning."""

    def __init__(self) -> None:
        self.stopped: tuple[int, str] | None = None
        self.skipped = 0
        self.shown: list[tuple[int, str]] = []

    def skip(self, line: int, fault: Exception) -> None:
        """Count a skipped row, and note the reasons of the first few."""
        self.skipped += 1
        if len(self.shown) < _FAULTS_SHOWN:
            self.shown.append((line, str(fault)))

    def add(self, later: Tally, lines: int) -> None:
        """Add the tally of a part of the file that begins after `lines` lines."""
        self.skipped += later.skipped
        shown = [*self.shown, *((lines + line, reason) for line, reason in later.shown)]
        self.shown = sorted(shown, key=lambda fault: fault[0])[:_FAULTS_SHOWN]

    def stop(self, line: int, reason: str) -> None:
        """Note that the file cannot be read beyond the row in this line."""
        self.stopped = line, reason

    def warn(self, table: Table) -> None:
        """Log where the file broke off, the number of skipped rows, and the reasons of the first few."""
        if self.stopped:
            logger.warning(
                "%s: cannot be read beyond the row in line %d (%s); the rows before are used; "
                "if the file was cut short, fetch or unpack it again",
                table,
                *self.stopped,
            )
        if self.skipped:
            more = "; ..." if self.skipped > len(self.shown) else ""
            reasons = "; ".join(f"line {line}: {reason}" for line, reason in self.shown)
            logger.warning("%s: skipped rows: %d (%s%s)", table, self.skipped, reasons, more)


class RowReader:
    """A reader of consecutive blocks, used once; its attributes then tell where it stopped.

    Attributes:
        rows: The number of yielded rows.
        lines: The number of lines read.
        last_row: The line of the last row.
        closed: Whether the file's end tag was read.
        stopped: Why reading stopped before the end; None if it did not.
        irregular: Whether it stopped at something that only a parser of the whole file can read.
    """

    def __init__(self, root: bytes, tally: Tally, lines: int = 0) -> None:
        self.rows = self.last_row = 0
        self.lines = lines
        self.closed = False
        self.stopped: str | None = None
        self.irregular = False
        self._tally = tally
        self._whole_only = re.compile(b"<(?:[!?]|%s[ \t\r\n/>])" % root)
        self._end = b"</%s" % root
        self._ends = re.compile(rb"^[ \t]*</%s[ \t\r\n]*>|</%s[ \t\r\n]*>\s*\Z" % (root, root), re.MULTILINE)

    def read(self, blocks: Iterable[bytes], *, final: bool = True) -> Iterator[Row]:
        """Yield the rows of blocks without the file's head; `final` says that the blocks end the file."""
        previous: bytes | None = None
        for block in blocks:
            if previous is not None:
                yield from self._block(previous)
                if self.closed or self.irregular:
                    self._after(block)
                    return
            previous = block
        yield from self._block(previous or b"", final=final)
        if final and not (self.closed or self.irregular or self.stopped):
            self.stopped = "the file ends before its end tag"

    def _after(self, block: bytes) -> None:
        if not self.irregular and block.strip():
            self.stopped = "there is more after the end tag"

    def _block(self, block: bytes, *, final: bool = False) -> Iterator[Row]:
        if self._whole_only.search(block):
            self.irregular = True
            return
        end = self._ends.search(block) if self._end in block else None
        if end:
            self.closed = True
            self._after(block[end.end() :])
            block = block[: end.start()]
        starts = row_starts(block)
        if final and not end:
            last = starts.pop()
            if starts:
                yield from self._halved(block[:last], starts)
            yield from self._halved(block[last:], [0], cut=True)
        else:
            yield from self._halved(block, starts)

    def _halved(self, block: bytes, starts: list[int], *, cut: bool = False) -> Iterator[Row]:
        """Yield the rows of a block, which begin at `starts`; malformed ones are skipped.

        A malformed row that the end of the file may have `cut` is not counted as skipped.
        """
        waiting = [(block, starts)] if block.strip() else []
        while waiting:
            block, starts = waiting.pop()
            try:
                yield from self._parsed(block, starts)
            except MalformedError as fault:
                if len(starts) > 1:
                    half = len(starts) // 2
                    middle = starts[half]
                    waiting.append((block[middle:], [start - middle for start in starts[half:]]))
                    waiting.append((block[:middle], starts[:half]))
                    continue
                if not cut:
                    self.last_row = self.lines + 1
                    self._tally.skip(self.last_row, fault)
            self.lines += block.count(b"\n")

    def _parsed(self, block: bytes, starts: list[int]) -> Iterator[Row]:
        rows = parsed_rows(block)
        lines = _lines(block, starts)
        if rows is None or len(rows) != len(starts):
            # Only the tree knows the line of each row.
            tree = list(_tree(block).iter("row"))
            rows = [dict(row.attrib) for row in tree]
            lines = [lines[max(0, bisect_right(lines, row.sourceline - 1) - 1)] for row in tree]
        for line, attributes in zip(lines, rows, strict=True):
            self.rows += 1
            self.last_row = self.lines + 1 + line
            yield Row(self.last_row, attributes)


def _lines(block: bytes, starts: list[int]) -> list[int]:
    """The line, from 0, of each position."""
    lines = []
    line = before = 0
    for start in starts:
        line += block.count(b"\n", before, start)
        before = start
        lines.append(line)
    return lines


def read_rows(table: Table, tally: Tally | None = None) -> Iterator[Row]:
    """Yield the file's rows in constant memory; of a file that breaks off, the rows before.

    Args:
        table: The file.
        tally: Counts the malformed rows, which are skipped; if None, a warning is logged at the end.

    Raises:
        InputError: The file declares a document type.
    """
    counted = tally if tally is not None else Tally()
    head = head_of(table)
    yield from rows_after(table, 0, counted) if head is None else _regular(table, head, counted)
    if tally is None:
        counted.warn(table)


def _regular(table: Table, head: Head, tally: Tally) -> Iterator[Row]:
    blocks = Blocks(table.chunks(), BLOCK, head.size)
    reader = RowReader(head.root, tally, head.lines)
    yield from reader.read(blocks)
    if reader.irregular or blocks.endless:
        yield from rows_after(table, reader.rows, tally)
    elif blocks.cut_short or reader.stopped:
        tally.stop(reader.last_row, blocks.cut_short or reader.stopped or "")


def parsed_rows(fragment: bytes) -> list[Mapping[str, str]] | None:
    """The attributes of the rows in a fragment of whole elements; None if they have to be read from a tree.

    Raises:
        MalformedError: The fragment is not well-formed.
    """
    parser = _collecting()
    try:
        rows: list[Mapping[str, str]] = etree.fromstring(b"<_>" + fragment + b"</_>", parser)
    except etree.XMLSyntaxError as error:
        raise MalformedError(_message(error)) from None
    # A parser with a target accepts undeclared prefixes, and only logs them.
    return None if len(parser.error_log) else rows


@cache
def _collecting() -> etree.XMLParser:
    # A fragment cannot declare entities. With resolve_entities=False libxml2 would yield "&#38;" for "&amp;".
    return etree.XMLParser(target=_Rows(), no_network=True, huge_tree=True)


class _Rows:
    """A parser target that collects the attributes of rows: twice as fast as walking a tree."""

    def __init__(self) -> None:
        self._rows: list[Mapping[str, str]] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Take the start of an element."""
        if tag == "row":
            self._rows.append(attributes)

    def close(self) -> list[Mapping[str, str]]:
        """Return the rows at the document's end, or at an error; the target can be used again."""
        rows, self._rows = self._rows, []
        return rows


def _tree(fragment: bytes) -> Any:
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
        return etree.fromstring(b"<_>" + fragment + b"</_>", parser)
    except etree.XMLSyntaxError as error:
        raise MalformedError(_message(error)) from None


def _message(error: etree.XMLSyntaxError) -> str:
    # Without "line 1, column 7", which counts within the fragment.
    return re.sub(r", line \d+, column \d+.*", "", str(error.msg), flags=re.DOTALL)


class _Stream:
    """The chunks of a table as a file object for lxml."""

    def __init__(self, table: Table) -> None:
        self._chunks = table.chunks()
        self.cut_short = ""

    def read(self, size: int = -1) -> bytes:
        """The next chunk, of any length; empty at the end."""
        try:
            return next(self._chunks, b"")
        except CutShortError as error:
            self.cut_short = str(error)
            return b""


def rows_after(table: Table, passed: int, tally: Tally) -> Iterator[Row]:
    """The rows after the first `passed` ones, by a parser of the whole file.

    Raises:
        InputError: The file declares a document type.
    """
    stream = _Stream(table)
    line = 0
    events = etree.iterparse(
        stream, events=("start",), tag="row", resolve_entities=False, no_network=True, huge_tree=True
    )
    try:
        for number, (_, element) in enumerate(events):
            _refuse_entities(table, element)
            line = element.sourceline
            if number >= passed:
                yield Row(line, dict(element.attrib))
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        tally.stop(line, stream.cut_short or str(error))


def _refuse_entities(table: Table, element: Any) -> None:
    # Reading an attribute expands its entities to any depth, in spite of the parser's settings.
    if element.getroottree().docinfo.internalDTD is not None:
        raise InputError(
            f"{table} declares a document type, whose entities can expand without bound, and a StackExchange "
            "dump has none; remove the declaration"
        )
