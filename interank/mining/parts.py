"""Parallel reading of a large dump file: a process for each core takes whole rows; results keep the file's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from interank.mining.blocks import Blocks, Head, head_of, next_row, pieces
from interank.mining.processes import parallel_map, processes_of
from interank.mining.rows import BLOCK, Row, RowReader, Tally, read_rows, rows_after
from interank.mining.streams import Table

T = TypeVar("T")

Work = Callable[[Iterator[Row], Tally], T]
"""A function of a part's rows. It has to be picklable, and counts the rows that it cannot use in the tally."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How to share a file out among processes."""

    processes: int | None = None
    """The number of processes, this one included; None for one for each core."""
    least: int = 32 << 20
    """The least bytes of a file to share out; this process reads a smaller one before another could start."""
    part: int = 8 << 20
    """The bytes of a part; the parts in progress bound the memory."""

    def fits(self, table: Table) -> bool:
        """Whether to share out the table."""
        return processes_of(self.processes) > 1 and table.size >= self.least


SPREAD = Spread()


class _Part(NamedTuple):
    """A part of a file that begins with a row: its bytes, or their start and end in the file."""

    data: bytes | tuple[int, int]
    first: bool
    final: bool


@dataclass(slots=True)
class _Read(Generic[T]):
    """The result of reading one part, and the reader's state at its end."""

    result: T
    tally: Tally
    rows: int
    lines: int
    last_row: int
    closed: bool
    stopped: str | None
    irregular: bool


def work_through(table: Table, work: Work[T], tally: Tally, *, spread: Spread = SPREAD) -> Iterator[T]:
    """Apply `work` to the rows of a table, in one part or many, and yield the results in order.

    Args:
        table: The file.
        work: The function of a part's rows.
        tally: Counts the skipped rows.
        spread: How to share the file out among processes.

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
    for part in parallel_map(read, cut.parts(), processes_of(spread.processes)):
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
    """Splits a table before rows: a plain file by positions in it, any other by its streamed bytes.

    Attributes:
        cut_short: Why the stream broke off; empty if it did not.
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
        previous, first = None, True
        for block in blocks:
            if previous is not None:
                yield _Part(previous, first, False)
                first = False
            previous = block
        self.endless = blocks.endless
        self.cut_short = blocks.cut_short
        if previous is not None:
            yield _Part(previous, first, not self.endless)


def _read_part(path: Path, head: Head, work: Work[T], part: _Part) -> _Read[T]:
    data = part.data
    chunks = pieces(data) if isinstance(data, bytes) else Table(path).chunks(*data)
    blocks = Blocks(chunks, BLOCK)
    tally = Tally()
    reader = RowReader(head.root, tally, head.lines if part.first else 0)
    result = work(reader.read(blocks, final=part.final), tally)
    irregular = reader.irregular or blocks.endless
    return _Read(result, tally, reader.rows, reader.lines, reader.last_row, reader.closed, reader.stopped, irregular)
