"""Reads a large file of a dump with a process a core: each takes whole lines, results come in the order of the file."""

from __future__ import annotations

import marshal
import multiprocessing
import os
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, TypeVar

from interank.mining.lines import Keep
from interank.mining.rows import Blocks, Row, RowReader, Tally, parsed_after, read_rows
from interank.mining.streams import CHUNK, Table

T = TypeVar("T")

Work = Callable[[Iterator[Row], Tally], T]
"""Makes something of some rows of a file; it has to be picklable, and skips the rows it cannot use."""

# Parts under way for each process, the one it works on among them.
_UNDER_WAY = 2


@dataclass(frozen=True, slots=True)
class Spread:
    """How a file is shared out among processes."""

    processes: int | None = None
    """None takes one a core."""
    least: int = 32 << 20
    """Smaller files are read before a process has started."""
    part: int = 8 << 20
    """Bytes that a process takes at a time: what is under way bounds the memory."""

    @property
    def count(self) -> int:
        """How many processes."""
        if self.processes is not None:
            return self.processes
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def fits(self, table: Table) -> bool:
        """Whether the table is worth it."""
        return table.seekable and self.count > 1 and table.size >= self.least


SPREAD = Spread()


@dataclass(slots=True)
class _Part:
    """What reading one part of a file gave."""

    result: object = None
    tally: Tally = field(default_factory=Tally)
    lines: int = 0
    last_row: int = 0
    closed: bool = False
    stopped: str | None = None
    irregular: bool = False


def work_through(
    table: Table, work: Work[T], tally: Tally, *, keep: Keep | None = None, spread: Spread = SPREAD
) -> Iterator[T]:
    """Give every row of a table to `work`, in one part or many; yield what it makes of each, in order.

    Args:
        table: The file; compressed ones are read in one part, in this process.
        work: What to do with the rows of a part.
        tally: Counts rows skipped.
        keep: May drop rows unread.
        spread: How many processes read.

    Raises:
        InputError: The file declares a document type.
    """
    for _, result in _parts(table, work, tally, keep, spread):
        yield result


def all_rows(
    table: Table, tally: Tally | None = None, *, keep: Keep | None = None, spread: Spread = SPREAD
) -> Iterator[Row]:
    """Yield what `read_rows` yields; where `keep` drops most of them, by several processes."""
    counted = tally if tally is not None else Tally()
    # To send a row from one process to another costs as much as to read it.
    if keep is None or not spread.fits(table):
        yield from read_rows(table, counted, keep=keep)
    else:
        for before, packed in _parts(table, _packed, counted, keep, spread):
            for line, attributes in zip(*marshal.loads(packed), strict=True):
                yield Row(before + line, attributes)
    if tally is None:
        counted.warn(table)


def _packed(rows: Iterator[Row], tally: Tally) -> bytes:
    # Pickled rows take four times as long between processes.
    lines: list[int] = []
    attributes: list[Mapping[str, str]] = []
    for row in rows:
        lines.append(row.line)
        attributes.append(row.attributes)
    return marshal.dumps((lines, attributes))


def _parts(table: Table, work: Work[T], tally: Tally, keep: Keep | None, spread: Spread) -> Iterator[tuple[int, T]]:
    """The results, each with the number of lines before its part."""
    head = Blocks(table.chunks()).head() if spread.fits(table) else None
    if head is None:
        yield 0, work(read_rows(table, tally, keep=keep), tally)
        return
    lines = last_row = 0
    closed = False
    for part in _results(table.path, partial(_read_part, table.path, work, keep, spread.part), spread):
        if closed:
            if part.lines:
                tally.stop(last_row, "there is more after the end tag")
            return
        yield lines, part.result  # type: ignore[misc]
        tally.add(part.tally, lines)
        last_row = lines + part.last_row if part.last_row else last_row
        if part.irregular:
            yield 0, work(parsed_after(table, last_row, tally), tally)
            return
        if part.stopped:
            tally.stop(last_row, part.stopped)
            return
        lines += part.lines
        closed = part.closed


def _results(path: Path, read: Callable[[int], _Part], spread: Spread) -> Iterator[_Part]:
    starts = iter(range(0, path.stat().st_size, spread.part))
    under_way: deque[Future[_Part]] = deque()
    # A fork is there at once, but of a process with threads it may inherit a lock that nobody frees.
    alone = sys.platform == "linux" and threading.active_count() == 1
    context = multiprocessing.get_context("fork" if alone else "spawn")
    pool = ProcessPoolExecutor(spread.count, mp_context=context, initializer=_take_up, initargs=(read,))
    try:
        for start in starts:
            with _nameless_main(), warnings.catch_warnings():
                # Python warns of threads that are not its own too, such as those of numpy's algebra, which wait idle.
                warnings.filterwarnings("ignore", "This process.*multi-threaded", DeprecationWarning)
                under_way.append(pool.submit(_work_on, start))
            if len(under_way) >= spread.count * _UNDER_WAY:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _nameless_main() -> Iterator[None]:
    """Hide the main module: a spawned process would run a script that has no `if __name__ == "__main__"` again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


# What a process of the pool does with each part: given once, since it may hold many ids.
_reads: list[Callable[[int], _Part]] = []


def _take_up(read: Callable[[int], _Part]) -> None:
    _reads.append(read)


def _work_on(start: int) -> _Part:
    return _reads[-1](start)


def _read_part(path: Path, work: Work[T], keep: Keep | None, size: int, start: int) -> _Part:
    """Work on the rows whose lines begin in the part of so many bytes from `start`."""
    part = _Part()
    reader = RowReader(part.tally, keep)
    with path.open("rb") as file:
        whole = path.stat().st_size
        end = _line_start(file, min(start + size, whole))
        begin = _line_start(file, start) if start else 0
    blocks = Blocks(Table(path).chunks(begin, end))
    if not start:
        reader.line = blocks.head() or 0
    part.result = work(reader.rows(blocks.whole_lines(), final=end >= whole), part.tally)
    part.lines, part.last_row = reader.line, reader.last_row
    part.closed, part.stopped, part.irregular = reader.closed, reader.stopped, reader.irregular or blocks.endless
    return part


def _line_start(file: BinaryIO, position: int) -> int:
    """Where the first row that begins a line at or after the position begins; the end where there is none."""
    file.seek(position - 1)
    _pass_line(file)
    while True:
        start = file.tell()
        line = _pass_line(file)
        if not line or line.lstrip(b" \t").startswith(b"<row"):
            return start


def _pass_line(file: BinaryIO) -> bytes:
    """Read to the end of the line, of which the beginning is given, since nobody knows how long it is."""
    begins = piece = file.readline(CHUNK)
    while piece and not piece.endswith(b"\n"):
        piece = file.readline(CHUNK)
    return begins
