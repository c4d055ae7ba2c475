"""How much of a file may stand in one line, one value or one text: a packed file of a megabyte can hold gigabytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interank import machine
from interank.errors import InputError

_LEAST_IN_LINE = 1 << 26
# The free memory over these: a text is held as bytes, as characters and as what it says.
_OF_LINE, _OF_WHOLE = 64, 8
# Of a column little is held at once, unless its values repeat.
_OF_COLUMN = 4
_READ_AT_ONCE = 1 << 17
# Values that stand once in a column's bytes however many rows have them.
_REPEATING = frozenset({"PLAIN_DICTIONARY", "RLE_DICTIONARY", "DELTA_BYTE_ARRAY"})


def most_in_line() -> int:
    """Bytes of a row's line: 64 MB, which no known collection comes near, and more where there is memory for it."""
    return max(_LEAST_IN_LINE, machine.free_memory() // _OF_LINE)


def most_at_once() -> int:
    """Bytes of what can only be read as a whole."""
    return machine.free_memory() // _OF_WHOLE


class BoundedLines(io.RawIOBase):
    """A stream of bytes that stops at a line too long to be held."""

    def __init__(self, stream: Any, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._lines, self._length = 1, 0
        self._most = most_in_line()

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there.

        Raises:
            InputError: A line is longer than `most_in_line`.
        """
        read = self._stream.read1(len(buffer))
        buffer[: len(read)] = read
        end = read.rfind(b"\n")
        if end >= 0:
            self._lines += read.count(b"\n")
            self._length = 0
        self._length += len(read) - end - 1
        if self._length > self._most:
            raise InputError(
                f"{self._path}:{self._lines}: the line is longer than {self._most >> 20} MB, unpacked; no row is, so "
                "see whether the file is what it should be, or part the line"
            )
        return len(read)


def bounded(stream: Any, path: Path) -> io.BufferedReader:
    """The stream, whose lines are bounded."""
    return io.BufferedReader(BoundedLines(stream, path), _READ_AT_ONCE)


def read_whole(stream: Any, path: Path) -> bytes:
    """All that is left in a stream of bytes, of a file that can only be read as a whole.

    Raises:
        InputError: It is more than `most_at_once`.
    """
    most = most_at_once()
    data: bytes = stream.read(most + 1)
    if len(data) > most:
        raise InputError(
            f"{path} holds more than {most >> 20} MB, unpacked, and is read as a whole, for which an eighth of the "
            "free memory may be taken; part the file, or read it where there is more memory"
        )
    return data


def parquet_batches(table: Any, path: Path, rows: int) -> Iterator[Any]:
    """The batches of an open Parquet file, of so many rows, and of fewer where values may be huge.

    Args:
        table: A `pyarrow.parquet.ParquetFile`.
        path: The file, for messages.
        rows: How many rows a batch has.

    Raises:
        InputError: A column of a row group unpacks to more than can be held.
    """
    facts, most, largest = table.metadata, most_at_once(), machine.free_memory() // _OF_COLUMN
    for number in range(facts.num_row_groups):
        group = facts.row_group(number)
        repeating = 1
        for column in map(group.column, range(group.num_columns)):
            size = column.total_uncompressed_size
            if size > largest:
                raise InputError(
                    f"{path}: the column {column.path_in_schema} of row group {number + 1} takes {size >> 20} MB "
                    f"unpacked, and {largest >> 20} MB can be read with the memory that is free; write it anew with "
                    "smaller row groups"
                )
            if not _REPEATING.isdisjoint(column.encodings):
                repeating = max(repeating, size)
        # Each row of a batch may have all that such a column holds.
        yield from table.iter_batches(max(1, min(rows, most // repeating)), row_groups=[number])
