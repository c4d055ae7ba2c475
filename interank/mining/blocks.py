"""Cuts the bytes of a dump's file before rows that begin a line, so that each block can be read by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from interank.mining.streams import CHUNK, CutShortError, Table

# A longer stretch in which no row begins a line is no dump as archive.org makes them.
LONGEST = 16 << 20
_HEAD_SIZE = 1 << 10

_HEAD = re.compile(
    rb"""(?:\xef\xbb\xbf)?(?:<\?xml\ version="1\.0"(?:\ encoding="utf-8")?(?:\ standalone="(?:yes|no)")?[ ]?\?>)?
    \s*<([a-z_][a-z0-9_]*)>[ \t\r]*\n""",
    re.IGNORECASE | re.VERBOSE,
)
# A literal first character makes the search many times faster than a line's beginning would.
_ROW_BEGINS = re.compile(rb"\n[ \t]*<row")


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the first row."""

    root: bytes
    """The name of the element that holds the rows."""
    size: int
    lines: int


def head_of(table: Table) -> Head | None:
    """The head of a file that is written as dumps are; None of any other.

    A file that breaks off within its head has none.
    """
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
    """The bytes of a stream, cut before rows that begin a line.

    Attributes:
        cut_short: Why the bytes ended before their end, if they did.
        endless: Whether a stretch was too long to be held.
    """

    def __init__(self, chunks: Iterable[bytes], size: int, skipped: int = 0) -> None:
        """Take the stream.

        Args:
            chunks: Its bytes.
            size: How many bytes a block has, but for the row that it ends with.
            skipped: How many bytes at the beginning are left out.
        """
        self._chunks = iter(chunks)
        self._size = size
        self._skipped = skipped
        self.cut_short = ""
        self.endless = False

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks, each once."""
        held, length = [b""], 0
        while chunk := self._next():
            held.append(chunk)
            length += len(chunk)
            if length < self._size:
                continue
            whole = b"".join(held)
            cut = _last_row(whole)
            if cut:
                yield whole[:cut]
            elif length > LONGEST:
                self.endless = True
                return
            held = [whole[cut:]]
            length = len(held[0])
        if length:
            yield b"".join(held)

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
    """Bytes at hand as a stream."""
    return (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))


def row_starts(block: bytes) -> list[int]:
    """Where the block begins, and where rows begin a line in it."""
    return [0, *(match.start() + 1 for match in _ROW_BEGINS.finditer(block))]


def next_row(path: Path, position: int) -> int | None:
    """Where in a file the first line after the position begins that a row begins, or the file's end.

    None where that is too far away.
    """
    with path.open("rb") as file:
        file.seek(position)
        begins, held = position, b""
        while chunk := file.read(CHUNK):
            held += chunk
            if match := _ROW_BEGINS.search(held):
                return begins + match.start() + 1
            # The last line may go on with a row.
            kept = held[max(held.rfind(b"\n"), len(held) - _HEAD_SIZE) :]
            begins += len(held) - len(kept)
            held = kept
            if begins - position > LONGEST:
                return None
        return file.tell()


def _last_row(block: bytes) -> int:
    """Where the last row that begins a line stands, the first one aside; 0 where there is none."""
    place = len(block)
    while (place := block.rfind(b"<row", 0, place)) > 0:
        line = block.rfind(b"\n", max(0, place - _HEAD_SIZE), place) + 1
        if line and not block[line:place].strip(b" \t"):
            return line
    return 0
