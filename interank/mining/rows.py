"""Streams the rows of one XML file of a StackExchange dump, as far as it can be read.

archive.org's dumps hold one row a line, so lines are read; what stands otherwise is left to a real parser. A dump in
which rows span lines is read too, a broken line costs itself alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from lxml import etree

from interank.errors import InputError
from interank.mining.blocks import LONGEST, Blocks
from interank.mining.lines import Keep, Lines, MalformedError, is_plain, parsed_rows, plain_rows, read_plain
from interank.mining.streams import CutShortError, Table

logger = logging.getLogger(__name__)

_FAULTS_SHOWN = 5
_BLANKS = b" \t\r"
# What is malformed so far is tried again with the next line, up to this length.
_LONGEST_TRIED = 64 << 10
# Enough for the work on each batch to matter little, and few enough for them to stay in a processor's cache.
_READ_AT_ONCE = 64

# int() also takes "1_000", " 7 " and digits of other scripts, none of which a dump holds.
_INTEGER = re.compile("-?[0-9]{1,18}")

_ROW_BEGINS = re.compile(rb"<row(?:[\s/>]|$)")


class BadRowError(Exception):
    """A row that cannot be used; says why."""


class Row(NamedTuple):
    """One `row` element and its line."""

    line: int
    attributes: Mapping[str, str]

    def text(self, name: str) -> str:
        """The attribute, which may be empty.

        Raises:
            BadRowError: There is none.
        """
        if name not in self.attributes:
            raise BadRowError(f"{name} is missing")
        return self.attributes[name]

    def integer(self, name: str) -> int:
        """The attribute as a number.

        Raises:
            BadRowError: There is none, or it is no integer.
        """
        value = self.text(name)
        if not _INTEGER.fullmatch(value):
            raise BadRowError(f"{name} is {value[:40]!r}, not an integer")
        return int(value)

    def optional_integer(self, name: str) -> int | None:
        """The attribute as a number, or None where there is none.

        Raises:
            BadRowError: It is no integer.
        """
        return self.integer(name) if name in self.attributes else None


class Unread(NamedTuple):
    """Plain rows that are found and not read yet."""

    lines: list[int]
    starts: list[int]
    """Where each begins in the block."""
    ends: list[int]
    block: bytes
    position: int
    """Where the block begins in the file."""


Stretch = Unread | list[Row]
"""Rows that follow one another."""


class Tally:
    """Counts the rows of one file that are skipped, and knows where it broke off, to warn of it once."""

    def __init__(self) -> None:
        self.stopped: tuple[int, str] | None = None
        self.skipped = 0
        self.shown: list[tuple[int, str]] = []

    def skip(self, line: int, fault: Exception) -> None:
        """Count a row, and keep the reason if it is among the first."""
        self.skipped += 1
        if len(self.shown) < _FAULTS_SHOWN:
            self.shown.append((line, str(fault)))

    def add(self, later: Tally, lines: int) -> None:
        """Add what was skipped in a part of the file that begins after so many lines."""
        self.skipped += later.skipped
        shown = [*self.shown, *((lines + line, reason) for line, reason in later.shown)]
        self.shown = sorted(shown, key=lambda fault: fault[0])[:_FAULTS_SHOWN]

    def stop(self, line: int, reason: str) -> None:
        """Note that the file cannot be read on after the row in this line."""
        self.stopped = line, reason

    def warn(self, table: Table) -> None:
        """Log where the file broke off, how many rows were skipped, and why the first of them were."""
        if self.stopped:
            logger.warning(
                "%s: cannot be read on after the row in line %d (%s); what stands before is kept; "
                "if the file was cut short, fetch or unpack it again",
                table,
                *self.stopped,
            )
        if self.skipped:
            more = "; ..." if self.skipped > len(self.shown) else ""
            reasons = "; ".join(f"line {line}: {reason}" for line, reason in self.shown)
            logger.warning("%s: skipped rows: %d (%s%s)", table, self.skipped, reasons, more)


class RowReader:
    """The rows of a stream, once; afterwards it says how far it came.

    Attributes:
        position: The bytes passed, for whoever sets where they begin.
        line: The lines passed.
        last_row: The line of the last row.
        closed: Whether the file's end tag was met.
        stopped: Why reading stopped before the end, if it did.
        irregular: Whether it stopped at something that only a real parser of the whole file can read.
    """

    def __init__(self, tally: Tally, keep: Keep | None = None) -> None:
        self.position = 0
        self.line = 0
        self.last_row = 0
        self.closed = False
        self.stopped: str | None = None
        self.irregular = False
        self._tally = tally
        self._keep = keep
        # Lines that are no plain row, until a row or the end follows, and the line where they begin.
        self._odd: list[bytes] = []
        self._odd_line = self._odd_end = 0

    def stretches(self, blocks: Iterable[bytes], *, final: bool = True) -> Iterator[Stretch]:
        """Yield the rows in blocks of whole lines, the file's head taken off; `final` blocks end the file."""
        for block in blocks:
            found = None if self._odd or self.closed else plain_rows(block, self._keep)
            yield list(self._line_by_line(block)) if found is None else self._unread(found, block)
            self.position += len(block)
            if self.stopped or self.irregular:
                return
        yield list(self._ending() if final else self._odd_rows())

    def _unread(self, found: Lines, block: bytes) -> Unread:
        first = self.line + 1
        self.line += found.total
        self.last_row = self.line
        lines = [first + number for number in found.numbers]
        return Unread(lines, found.starts, found.ends, block, self.position)

    def _line_by_line(self, block: bytes) -> Iterator[Row]:
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for line in lines:
            self.line += 1
            bare = line.strip(_BLANKS)
            if is_plain(bare) and not self.closed:
                yield from self._odd_rows()
                yield from self._plain(bare)
            elif bare:
                yield from self._unusual(bare)
            if self.stopped or self.irregular:
                return

    def _plain(self, bare: bytes) -> Iterator[Row]:
        self.last_row = self.line
        if self._keep is None or self._keep(bare):
            try:
                found = parsed_rows(bare)
            except MalformedError as fault:
                self._tally.skip(self.line, fault)
                return
            for attributes in found:
                yield Row(self.line, attributes)

    def _unusual(self, bare: bytes) -> Iterator[Row]:
        if self.closed:
            if not bare.startswith(b"<!--"):
                self.stopped = "there is more after the end tag"
            return
        if b"<!" in bare or b"<?" in bare or sum(map(len, self._odd)) + len(bare) > LONGEST:
            self.irregular = True
            return
        ends = bare.startswith(b"</") and not bare.startswith(b"</row")
        if self._odd and (ends or bare.startswith(b"<")):
            yield from self._odd_rows(unfinished=not ends and not _ROW_BEGINS.match(bare))
        if ends:
            self.closed = True
            return
        if not self._odd:
            self._odd_line = self.line
        self._odd_end = self.line
        self._odd.append(bare)

    def _odd_rows(self, *, unfinished: bool = False) -> Iterator[Row]:
        """The rows of lines that are no plain rows; a malformed one is skipped, unless it may go on."""
        lines, self._odd = self._odd, []
        try:
            found = parsed_rows(b"\n".join(lines)) if lines else []
        except MalformedError as fault:
            if unfinished and sum(map(len, lines)) < _LONGEST_TRIED:
                self._odd = lines
            else:
                self._tally.skip(self._odd_line, fault)
            return
        for attributes in found:
            self.last_row = self._odd_end
            yield Row(self._odd_end, attributes)

    def _ending(self) -> Iterator[Row]:
        if self.closed:
            return
        skipped = self._tally.skipped
        yield from self._odd_rows()
        if self._tally.skipped > skipped:
            # A row that the end of the file has cut is the file's fault.
            self._tally.skipped = skipped
            self._tally.shown = [shown for shown in self._tally.shown if shown[0] != self._odd_line]
        self.stopped = self.stopped or "the file ends before its end tag"


def read_rows(table: Table, tally: Tally | None = None, *, keep: Keep | None = None) -> Iterator[Row]:
    """Yield the file's rows in constant memory; where it breaks off, what stood before is kept.

    Args:
        table: The file.
        tally: Counts the rows that are skipped as malformed; where there is none, faults are warned of here.
        keep: May drop rows unread. Rows that are not plain are never asked about.

    Raises:
        InputError: The file declares a document type.
    """
    counted = tally if tally is not None else Tally()
    yield from read_all(stretches_of(table, counted, keep), counted)
    if tally is None:
        counted.warn(table)


def stretches_of(table: Table, tally: Tally, keep: Keep | None) -> Iterator[Stretch]:
    """Yield the file's rows as they are found.

    Raises:
        InputError: The file declares a document type.
    """
    blocks = Blocks(table.chunks())
    head = blocks.head()
    reader = RowReader(tally, keep)
    if head is None:
        reader.irregular = True
    else:
        reader.line = head
        yield from reader.stretches(blocks.whole_lines())
        reader.irregular |= blocks.endless
    if reader.irregular:
        yield from ([row] for row in parsed_after(table, reader.last_row, tally))
    elif blocks.cut_short or reader.stopped:
        tally.stop(reader.last_row, blocks.cut_short or reader.stopped or "")


def read_all(stretches: Iterable[Stretch], tally: Tally) -> Iterator[Row]:
    """Read what is unread; a malformed row is skipped."""
    for stretch in stretches:
        if isinstance(stretch, Unread):
            block = stretch.block
            rows = (block[start:end] for start, end in zip(stretch.starts, stretch.ends, strict=True))
            yield from read_batches(stretch.lines, rows, tally)
        else:
            yield from stretch


def read_batches(lines: Iterable[int], rows: Iterable[bytes], tally: Tally) -> Iterator[Row]:
    """Read plain rows, many at a time, each with its line; a malformed one is skipped."""
    lines, rows = iter(lines), iter(rows)
    while some := list(islice(rows, _READ_AT_ONCE)):
        yield from _read(list(islice(lines, len(some))), some, tally)


def _read(lines: list[int], rows: list[bytes], tally: Tally) -> Iterable[Row]:
    try:
        return map(Row, lines, read_plain(rows))
    except MalformedError as fault:
        if len(rows) > 1:
            return [row for line, raw in zip(lines, rows, strict=True) for row in _read([line], [raw], tally)]
        tally.skip(lines[0], fault)
        return []


class _Stream:
    """The chunks of a table as the file that lxml reads."""

    def __init__(self, table: Table) -> None:
        self._chunks = table.chunks()
        self.cut_short = ""

    def read(self, size: int = -1) -> bytes:
        """The next chunk, however long; nothing at the end."""
        try:
            return next(self._chunks, b"")
        except CutShortError as error:
            self.cut_short = str(error)
            return b""


def parsed_after(table: Table, last_row: int, tally: Tally) -> Iterator[Row]:
    """The rows after a line, by a real parser of the whole file.

    Raises:
        InputError: The file declares a document type.
    """
    stream = _Stream(table)
    line = 0
    events = etree.iterparse(
        stream, events=("end",), tag="row", resolve_entities=False, no_network=True, huge_tree=True
    )
    try:
        for _, element in events:
            _refuse_entities(table, element)
            line = element.sourceline
            if line > last_row:
                yield Row(line, dict(element.attrib))
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        tally.stop(line, stream.cut_short or str(error))


def _refuse_entities(table: Table, element: Any) -> None:
    # Asking for an attribute expands its entities, however deeply they nest, whatever the parser was told.
    if element.getroottree().docinfo.internalDTD is not None:
        raise InputError(
            f"{table} declares a document type, whose entities can expand without bound, and a StackExchange "
            "dump is plain XML; take the declaration out"
        )
