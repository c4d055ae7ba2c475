"""Reads a large file of a dump with a process a core: each takes whole rows, results come in the order of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from interank.mining.blocks import Blocks, Head, head_of, next_row, pieces
from interank.mining.processes import processes_of, worked_on
from interank.mining.rows import BLOCK, Row, RowReader, Tally, read_rows, rows_after
from interank.mining.streams import Table

T = TypeVar("T")

Work = Callable[[Iterator[Row], Tally], T]
"""Makes something of some rows of a file; it has to be picklable, and skips the rows it cannot use."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How a file is shared out among processes."""

    processes: int | None = None
    """This one among them; None takes one a core."""
    least: int = 32 << 20
    """Smaller files are read before a process has started."""
    part: int = 8 << 20
    """Bytes that a process takes at a time: what is under way bounds the memory."""

    def fits(self, table: Table) -> bool:
        """Whether the table is worth it."""
        return processes_of(self.processes) > 1 and table.size >= self.least


SPREAD = Spread()


class _Part(NamedTuple):
    """A part of a file that begins with a row: its bytes, or where they stand."""

    data: bytes | tuple[int, int]
    first: bool
    final: bool


@dataclass(slots=True)
class _Read(Generic[T]):
    """What reading one part gave, and how far it came."""

    result: T
    tally: Tally
    rows: int
    lines: int
    last_row: int
    closed: bool
    stopped: str | None
    irregular: bool


def work_through(table: Table, work: Work[T], tally: Tally, *, spread: Spread = SPREAD) -> Iterator[T]:
    """Give every row of a table to `work`, in one part or many; yield what it makes of each, in order.

    Args:
        table: The file.
        work: What to do with the rows of a part.
        tally: Counts rows skipped.
        spread: How many processes read.

    Raises:
        InputError: The file declares a document type.
    """
    head = head_of(table) if spread.fits(table) else None
    if head is None:
        yield work(read_rows(table, tally), tally)
        return
    cut = _Cut(table, head, spread.part)
    read = partial(_read_part, table.path, head, work)
    rows = lines = last_row = 0
    closed = False
    for part in worked_on(read, cut.parts(), processes_of(spread.processes)):
        if closed:
            if part.rows or part.tally.skipped:
                tally.stop(last_row, "there is more after the end tag")
            return
        yield part.result
        tally.add(part.tally, lines)
        rows += part.rows
        last_row = lines + part.last_row if part.last_row else last_row
        if part.irregular:
            yield work(rows_after(table, rows, tally), tally)
            return
        if part.stopped:
            tally.stop(last_row, cut.cut_short or part.stopped)
            return
        lines += part.lines
        closed = part.closed
    if cut.endless:
        yield work(rows_after(table, rows, tally), tally)


class _Cut:
    """Cuts a table before rows: a plain file by places in it, any other by its bytes as they come.

    Attributes:
        cut_short: Why the bytes ended before their end, if they did.
        endless: Whether a stretch without a row was too long.
    """

    def __init__(self, table: Table, head: Head, size: int) -> None:
        self._table = table
        self._head = head
        self._size = size
        self.cut_short = ""
        self.endless = False

    def parts(self) -> Iterator[_Part]:
        """Yield the parts."""
        return self._places() if self._table.seekable else self._streamed()

    def _places(self) -> Iterator[_Part]:
        path, start = self._table.path, self._head.size
        whole = self._table.size
        while start < whole:
            end = next_row(path, min(start + self._size, whole))
            if end is None:
                self.endless = True
                return
            yield _Part((start, end), start == self._head.size, end >= whole)
            start = end

    def _streamed(self) -> Iterator[_Part]:
        blocks = Blocks(self._table.chunks(), self._size, self._head.size)
        held, first = None, True
        for block in blocks:
            if held is not None:
                yield _Part(held, first, False)
                first = False
            held = block
        self.endless = blocks.endless
        self.cut_short = blocks.cut_short
        if held is not None:
            yield _Part(held, first, not self.endless)


def _read_part(path: Path, head: Head, work: Work[T], part: _Part) -> _Read[T]:
    data = part.data
    chunks = pieces(data) if isinstance(data, bytes) else Table(path).chunks(*data)
    blocks = Blocks(chunks, BLOCK)
    tally = Tally()
    reader = RowReader(head.root, tally, head.lines if part.first else 0)
    result = work(reader.read(blocks, final=part.final), tally)
    irregular = reader.irregular or blocks.endless
    return _Read(result, tally, reader.rows, reader.lines, reader.last_row, reader.closed, reader.stopped, irregular)
