"""Limits on the size of a line, a value and a whole file: a compressed file of a megabyte can unpack to gigabytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interank import machine
from interank.errors import InputError

_LEAST_IN_LINE = 1 << 26
# Divisors of the free memory: a text is held as bytes, as characters and as the parsed value.
_OF_LINE, _OF_WHOLE = 64, 8
# The same for a column, of which little is held at once, unless its values repeat.
_OF_COLUMN = 4
_READ_AT_ONCE = 1 << 17
# Encodings that store a value once for many rows.
_REPEATING = frozenset({"PLAIN_DICTIONARY", "RLE_DICTIONARY", "DELTA_BYTE_ARRAY"})


def most_in_line() -> int:
    """The most bytes in a line: 64 MB, far above any known collection, and more if memory allows."""
    return max(_LEAST_IN_LINE, machine.free_memory() // _OF_LINE)


def most_at_once() -> int:
    """The most bytes of a file that has to be read as a whole."""
    return machine.free_memory() // _OF_WHOLE


class BoundedLines(io.RawIOBase):
    """A byte stream that refuses a line too long for memory."""

    def __init__(self, stream: Any, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._lines, self._length = 1, 0
        self._most = most_in_line()

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the bytes at hand into the buffer.

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
                "check that this is the right file, or split the line"
            )
        return len(read)


def bounded(stream: Any, path: Path) -> io.BufferedReader:
    """The stream, buffered, with the limit of `BoundedLines` on its lines."""
    return io.BufferedReader(BoundedLines(stream, path), _READ_AT_ONCE)


def read_whole(stream: Any, path: Path) -> bytes:
    """The rest of a byte stream, of a file that has to be read as a whole.

    Raises:
        InputError: The rest is longer than `most_at_once`.
    """
    most = most_at_once()
    data: bytes = stream.read(most + 1)
    if len(data) > most:
        raise InputError(
            f"{path} holds more than {most >> 20} MB, unpacked; it has to be read as a whole, which may take an eighth "
            "of the free memory; split the file, or read it on a machine with more memory"
        )
    return data


def parquet_batches(table: Any, path: Path, rows: int) -> Iterator[Any]:
    """The batches of an open Parquet file, with fewer rows where values may be huge.

    Args:
        table: A `pyarrow.parquet.ParquetFile`.
        path: The file, for messages.
        rows: The most rows in a batch.

    Raises:
        InputError: A column of a row group unpacks to more than memory allows.
    """
    metadata, most, largest = table.metadata, most_at_once(), machine.free_memory() // _OF_COLUMN
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        repeating = 1
        for column in map(group.column, range(group.num_columns)):
            size = column.total_uncompressed_size
            if size > largest:
                raise InputError(
                    f"{path}: the column {column.path_in_schema} of row group {number + 1} takes {size >> 20} MB "
                    f"unpacked, and the free memory allows {largest >> 20} MB; write the file again with smaller row "
                    "groups"
                )
            if not _REPEATING.isdisjoint(column.encodings):
                repeating = max(repeating, size)
        # With a repeating encoding each row may hold as much as the whole column.
        yield from table.iter_batches(max(1, min(rows, most // repeating)), row_groups=[number])
