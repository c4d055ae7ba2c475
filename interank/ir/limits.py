"""How much of a file may stand in one line, one value or one text: a packed file of a megabyte can hold gigabytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interank.errors import InputError

MOST_IN_LINE = 1 << 26
"""Bytes; the longest documents of known collections have a few megabytes."""
MOST_AT_ONCE = 1 << 30
"""Bytes of what can only be read as a whole."""
_READ_AT_ONCE = 1 << 17
# Columns that are packed to so small a share are read row by row; text is packed to a third or a tenth.
_SUSPICIOUS = 50


class BoundedLines(io.RawIOBase):
    """A stream of bytes that stops at a line too long to be held."""

    def __init__(self, stream: Any, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._lines, self._length = 1, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there.

        Raises:
            InputError: A line is longer than MOST_IN_LINE.
        """
        read = self._stream.read1(len(buffer))
        buffer[: len(read)] = read
        end = read.rfind(b"\n")
        if end >= 0:
            self._lines += read.count(b"\n")
            self._length = 0
        self._length += len(read) - end - 1
        if self._length > MOST_IN_LINE:
            raise InputError(
                f"{self._path}:{self._lines}: the line is longer than {MOST_IN_LINE >> 20} MB, unpacked; no row is, so "
                "see whether the file is what it should be, or part the line"
            )
        return len(read)


def bounded(stream: Any, path: Path) -> io.BufferedReader:
    """The stream, whose lines are bounded."""
    return io.BufferedReader(BoundedLines(stream, path), _READ_AT_ONCE)


def whole(path: Path, lines: Iterator[tuple[int, str]]) -> str:
    """The lines as one text, of a file that can only be read as a whole.

    Raises:
        InputError: They are too many to be held.
    """
    held, size = [], 0
    for _, line in lines:
        held.append(line)
        size += len(line) + 1
        if size > MOST_AT_ONCE:
            raise InputError(
                f"{path} holds more than {MOST_AT_ONCE >> 30} GB, unpacked, and is read as a whole; give its rows as "
                "JSONL, one a line"
            )
    return "\n".join(held)


def parquet_batches(table: Any, path: Path, rows: int) -> Iterator[Any]:
    """The batches of an open Parquet file, of so many rows, and of single ones where a value may be huge.

    Args:
        table: A `pyarrow.parquet.ParquetFile`.
        path: The file, for messages.
        rows: How many rows a batch has.

    Raises:
        InputError: A column of a row group unpacks to more than can be held.
    """
    facts = table.metadata
    for number in range(facts.num_row_groups):
        group = facts.row_group(number)
        columns = [group.column(place) for place in range(group.num_columns)]
        for column in columns:
            if column.total_uncompressed_size > MOST_AT_ONCE:
                raise InputError(
                    f"{path}: the column {column.path_in_schema} of row group {number + 1} takes "
                    f"{column.total_uncompressed_size >> 20} MB unpacked, and {MOST_AT_ONCE >> 20} can be read; write "
                    "it anew with smaller row groups"
                )
        packed = any(
            column.total_uncompressed_size > max(MOST_IN_LINE >> 6, _SUSPICIOUS * column.total_compressed_size)
            for column in columns
        )
        yield from table.iter_batches(1 if packed else rows, row_groups=[number])
