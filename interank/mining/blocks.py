"""Splits the bytes of a dump's file before rows that begin a line, so that each block can be parsed by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from interank.mining.streams import CHUNK, CutShortError, Table

# The longest stretch without a row at a line's beginning; archive.org's dumps have none nearly as long.
LONGEST = 16 << 20
_HEAD_SIZE = 1 << 10

_HEAD = re.compile(
    rb"""(?:\xef\xbb\xbf)?(?:<\?xml\ version="1\.0"(?:\ encoding="utf-8")?(?:\ standalone="(?:yes|no)")?[ ]?\?>)?
    \s*<([a-z_][a-z0-9_]*)>[ \t\r]*\n""",
    re.IGNORECASE | re.VERBOSE,
)
# Searching for the literal "\n" is many times faster than a pattern with "^".
_ROW_BEGINS = re.compile(rb"\n[ \t]*<row")


@dataclass(frozen=True, slots=True)
class Head:
    """The text before the first row."""

    root: bytes
    """The name of the element around the rows."""
    size: int
    lines: int


def head_of(table: Table) -> Head | None:
    """The head of a file in the dumps' layout; None for any other file, or one that breaks off within its head."""
    begins = b""
    try:
        for chunk in table.chunks():
            begins += chunk
            if len(begins) >= _HEAD_SIZE:
                break
    except CutShortError:
        return None
    match = _HEAD.match(begins)
    return None if match is None else Head(match[1], match.end(), match[0].count(b"\n"))


class Blocks:
    """The bytes of a stream, split before rows that begin a line.

    Attributes:
        cut_short: Why the stream broke off; empty if it did not.
        endless: Whether a stretch without a row was longer than `LONGEST`.
    """

    def __init__(self, chunks: Iterable[bytes], size: int, skipped: int = 0) -> None:
        """Take the stream.

        Args:
            chunks: Its bytes.
            size: The approximate number of bytes in a block, which ends before a row.
            skipped: The number of bytes to skip at the beginning.
        """
        self._chunks = iter(chunks)
        self._size = size
        self._skipped = skipped
        self.cut_short = ""
        self.endless = False

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks, each once."""
        chunks, length = [b""], 0
        while chunk := self._next():
            chunks.append(chunk)
            length += len(chunk)
            if length < self._size:
                continue
            whole = b"".join(chunks)
            cut = _last_row(whole)
            if cut:
                yield whole[:cut]
            elif length > LONGEST:
                self.endless = True
                return
            chunks = [whole[cut:]]
            length = len(chunks[0])
        if length:
            yield b"".join(chunks)

    def _next(self) -> bytes:
        try:
            chunk = next(self._chunks, b"")
            while self._skipped and chunk:
                taken = min(self._skipped, len(chunk))
                self._skipped -= taken
                chunk = chunk[taken:] or next(self._chunks, b"")
        except CutShortError as error:
            self.cut_short = str(error)
            return b""
        return chunk


def pieces(data: bytes) -> Iterator[bytes]:
    """The bytes as a stream of chunks."""
    return (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))


def row_starts(block: bytes) -> list[int]:
    """The position 0, and the positions of rows that begin a line in the block."""
    return [0, *(match.start() + 1 for match in _ROW_BEGINS.finditer(block))]


def next_row(path: Path, position: int) -> int | None:
    """The position of the first row after `position` that begins a line, or the file's end.

    None if there is no row within `LONGEST` bytes.
    """
    with path.open("rb") as file:
        file.seek(position)
        begins, window = position, b""
        while chunk := file.read(CHUNK):
            window += chunk
            if match := _ROW_BEGINS.search(window):
                return begins + match.start() + 1
            # The next chunk may continue the last line with a row.
            tail = window[max(window.rfind(b"\n"), len(window) - _HEAD_SIZE) :]
            begins += len(window) - len(tail)
            window = tail
            if begins - position > LONGEST:
                return None
        return file.tell()


def _last_row(block: bytes) -> int:
    """The position of the last row that begins a line; 0 if there is none after the block's first line."""
    place = len(block)
    while (place := block.rfind(b"<row", 0, place)) > 0:
        line = block.rfind(b"\n", max(0, place - _HEAD_SIZE), place) + 1
        if line and not block[line:place].strip(b" \t"):
            return line
    return 0
