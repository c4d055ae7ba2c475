"""Reads a large file of a dump with a process a core: each takes whole lines, results come in the order of the file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import groupby, islice
from multiprocessing import resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, TypeVar

import numpy as np

from interank.mining.blocks import Blocks
from interank.mining.lines import Keep
from interank.mining.rows import (
    Row,
    RowReader,
    Stretch,
    Tally,
    Unread,
    parsed_after,
    read_all,
    read_batches,
    read_rows,
    stretches_of,
)
from interank.mining.streams import CHUNK, Table

T = TypeVar("T")

Work = Callable[[Iterator[Row], Tally], T]
"""Makes something of some rows of a file; it has to be picklable, and skips the rows it cannot use."""

Take = Callable[[Iterator[Stretch], Tally], T]
"""The same of rows that are found and may not be read yet."""

_ENDING = (signal.SIGINT, signal.SIGTERM)
# Parts under way for each other process, the one it works on among them.
_UNDER_WAY = 2
# Parts for each process that may be under way or wait to be taken.
_READY = 4


@dataclass(frozen=True, slots=True)
class Spread:
    """How a file is shared out among processes."""

    processes: int | None = None
    """This one among them; None takes one a core."""
    least: int = 32 << 20
    """Smaller files are read before a process has started."""
    part: int = 16 << 20
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
    for _, result in _parts(table, partial(_read_and_work, work), tally, keep, spread):
        yield result


def _read_and_work(work: Work[T], stretches: Iterator[Stretch], tally: Tally) -> T:
    return work(read_all(stretches, tally), tally)


def all_rows(
    table: Table, tally: Tally | None = None, *, keep: Keep | None = None, spread: Spread = SPREAD
) -> Iterator[Row]:
    """Yield what `read_rows` yields; where `keep` drops most of them, by several processes."""
    counted = tally if tally is not None else Tally()
    # To send a row from one process to another costs as much as to read it.
    if keep is None or not spread.fits(table):
        yield from read_rows(table, counted, keep=keep)
    else:
        with table.path.open("rb", buffering=0) as file:
            for before, found in _parts(table, _found, counted, keep, spread):
                faults = Tally()
                for some in found:
                    if isinstance(some, list):
                        yield from (Row(before + line, attributes) for line, attributes in some)
                    else:
                        yield from _read_again(file, some, before, faults)
                counted.add(faults, before)
    if tally is None:
        counted.warn(table)


Places = np.ndarray[Any, np.dtype[np.int64]]
"""Of rows that nobody has read yet their lines, and where they begin and end in the file; shape (3, rows)."""


def _found(stretches: Iterator[Stretch], tally: Tally) -> list[list[Row] | Places]:
    """What a process hands over of the rows to keep: to hand over the rows takes several times as long."""
    # Blocks that are held on to would have to be read into new memory each.
    each = (places_of(stretch) if isinstance(stretch, Unread) else stretch for stretch in stretches)
    found: list[list[Row] | Places] = []
    for _, some in groupby(each, key=type):
        several = list(some)
        places = [one for one in several if not isinstance(one, list)]
        rows = [row for one in several if isinstance(one, list) for row in one]
        found.append(np.concatenate(places, axis=1) if places else rows)
    return found


def places_of(unread: Unread) -> Places:
    """Where in the file the rows stand."""
    places = np.array((unread.lines, unread.starts, unread.ends), np.int64)
    places[1:] += unread.position
    return places


def _read_again(file: BinaryIO, places: Places, before: int, tally: Tally) -> Iterator[Row]:
    """The rows at these places, in a file in which so many lines stand before the part."""
    lines, starts, ends = places.tolist()
    rows = (bytes_of(file, start, end) for start, end in zip(starts, ends, strict=True))
    return read_batches([before + line for line in lines], rows, tally)


def bytes_of(file: BinaryIO, start: int, end: int) -> bytes:
    """What stands in a file from `start` to before `end`."""
    file.seek(start)
    return file.read(end - start)


def _parts(table: Table, take: Take[T], tally: Tally, keep: Keep | None, spread: Spread) -> Iterator[tuple[int, T]]:
    """The results, each with the number of lines before its part."""
    head = Blocks(table.chunks()).head() if spread.fits(table) else None
    if head is None:
        yield 0, take(stretches_of(table, tally, keep), tally)
        return
    lines = last_row = 0
    closed = False
    for part in _results(table.path, partial(_read_part, table.path, take, keep, spread.part), spread):
        if closed:
            if part.lines:
                tally.stop(last_row, "there is more after the end tag")
            return
        yield lines, part.result  # type: ignore[misc]
        tally.add(part.tally, lines)
        last_row = lines + part.last_row if part.last_row else last_row
        if part.irregular:
            yield 0, take(([row] for row in parsed_after(table, last_row, tally)), tally)
            return
        if part.stopped:
            tally.stop(last_row, part.stopped)
            return
        lines += part.lines
        closed = part.closed


def _results(path: Path, read: Callable[[int], _Part], spread: Spread) -> Iterator[_Part]:
    """What reading each part gave; this process reads too, rather than wait for another."""
    starts = iter(range(0, path.stat().st_size, spread.part))
    others = spread.count - 1
    under_way: deque[Future[_Part] | _Part] = deque()
    pool = ProcessPoolExecutor(others, mp_context=_clean_start(), initializer=_take_up, initargs=(read,))
    try:
        while True:
            given = sum(isinstance(part, Future) and not part.done() for part in under_way)
            room = min(others * _UNDER_WAY - given, spread.count * _READY - len(under_way))
            for start in islice(starts, max(0, room)):
                with _nameless_main(), _undisturbed():
                    under_way.append(pool.submit(_work_on, start))
            if not under_way:
                return
            first = under_way[0]
            waits = isinstance(first, Future) and not first.done() and len(under_way) < spread.count * _READY
            if waits and (own := next(starts, None)) is not None:
                under_way.append(read(own))
                continue
            under_way.popleft()
            yield first.result() if isinstance(first, Future) else first
    finally:
        pool.shutdown(cancel_futures=True)


@cache
def _clean_start() -> BaseContext:
    """How processes start: as forks of a small server where there can be one.

    A fork of this process would have to copy every page of memory that either of them writes to, and might inherit a
    lock of another thread that nobody frees.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@contextmanager
def _nameless_main() -> Iterator[None]:
    """Hide the main module: a spawned process would run a script that has no `if __name__ == "__main__"` again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start processes whole, or one that nobody knows of would be left and complain; a signal comes into force then.

    They inherit that signals are blocked: the keyboard's interrupt goes to all, and it is this process that ends them.
    """
    # It would take the block away while it starts.
    resource_tracker.ensure_running()
    came: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        # The block is this thread's, and a signal may come to another.
        handlers = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _ENDING}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


# What a process of the pool does with each part: given once, since it may hold many ids.
_reads: list[Callable[[int], _Part]] = []


def _take_up(read: Callable[[int], _Part]) -> None:
    # With it a pool ends its processes when one of them has died.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _reads.append(read)


def _end_with_parent() -> None:
    """Be gone when whoever started this process is, also by a kill: nobody else would end a wait for more work."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work_on(start: int) -> _Part:
    return _reads[-1](start)


def _read_part(path: Path, take: Take[T], keep: Keep | None, size: int, start: int) -> _Part:
    """Take the rows whose lines begin in the part of so many bytes from `start`."""
    part = _Part()
    reader = RowReader(part.tally, keep)
    with path.open("rb") as file:
        whole = path.stat().st_size
        end = _line_start(file, min(start + size, whole))
        begin = _line_start(file, start) if start else 0
    blocks = Blocks(Table(path).chunks(begin, end))
    reader.position = begin
    if not start:
        reader.line = blocks.head() or 0
        reader.position = blocks.head_size
    part.result = take(reader.stretches(blocks.whole_lines(), final=end >= whole), part.tally)
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
