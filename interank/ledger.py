"""JSONL files: the append-only ledger that a killed stage reads to go on where it was, and plain ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from interank import plain_data
from interank.errors import InputError
from interank.outputs import writing


class Ledger:
    """Rows that are on disk once `append` returns; a row that a kill cut in two is dropped when reading."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[dict[str, Any]]:
        """The whole rows, in order; whatever was torn at the end is removed from the file.

        Raises:
            InputError: The file is no ledger; it is left as it is.
        """
        return list(self.each())

    def each(self) -> Iterator[dict[str, Any]]:
        """As `rows`, one at a time, for files that are larger than memory."""
        try:
            stream = self.path.open("rb")
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(f"{self.path} cannot be read as rows ({error.strerror}); name another file") from None
        end = 0
        with stream:
            for number, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    # Of a row that was being written at least the first character is there.
                    if not line.startswith(b"{"):
                        raise _no_object(self.path, number)
                    os.truncate(self.path, end)
                    return
                end += len(line)
                yield _object(self.path, number, line)

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows, all or (after a kill) some of them."""
        with self.path.open("ab") as stream:
            stream.write(b"".join(map(_line, rows)))
            stream.flush()
            os.fsync(stream.fileno())

    def replace(self, rows: Iterable[dict[str, Any]]) -> None:
        """Have these rows and no others; after a kill the file is as it was, or as it is meant to be."""
        with writing(self.path) as stream:
            stream.writelines(map(_line, rows))


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Write a JSONL file of an output, its folder made if need be; half characters get a mark in their place."""
    path.parent.mkdir(exist_ok=True)
    with writing(path) as stream:
        lines = (plain_data.writable(json.dumps(row, ensure_ascii=False)) for row in rows)
        stream.writelines(f"{line}\n".encode() for line in lines)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file that is only read.

    Raises:
        InputError: It cannot be read, or a line is no JSON object.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a JSONL file") from None
    return [_object(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = plain_data.parsed(line)
    except ValueError:
        raise _no_object(path, number) from None
    if not isinstance(row, dict):
        raise _no_object(path, number)
    return row


def _no_object(path: Path, number: int) -> InputError:
    return InputError(
        f"{path}:{number} is no JSON object, and every line has to be one; mend the line, or name another "
        "file (this one is left as it is)"
    )


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=True).encode() + b"\n"
