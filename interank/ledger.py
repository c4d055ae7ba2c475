"""JSONL files: the append-only ledger from which a killed stage resumes, and plain ones."""

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
    """A JSONL file whose rows are on disk once `append` returns; reading drops a last row that a kill truncated."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[dict[str, Any]]:
        """The complete rows, in order; a truncated last row is removed from the file.

        Raises:
            InputError: The file is no ledger; it is left unchanged.
        """
        return list(self.each())

    def each(self) -> Iterator[dict[str, Any]]:
        """Yield the rows one at a time, for files larger than memory; see `rows`."""
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
                    # A truncated row has at least its first character.
                    if not line.startswith(b"{"):
                        raise _no_object(self.path, number)
                    os.truncate(self.path, end)
                    return
                end += len(line)
                yield _object(self.path, number, line)

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows; after a kill some of them may be missing."""
        with self.path.open("ab") as stream:
            stream.write(b"".join(map(_line, rows)))
            stream.flush()
            os.fsync(stream.fileno())

    def replace(self, rows: Iterable[dict[str, Any]]) -> None:
        """Replace all rows; after a kill the file has either the old or the new ones."""
        with writing(self.path) as stream:
            stream.writelines(map(_line, rows))


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Write a JSONL file and, if needed, its folder; lone surrogates become replacement characters."""
    path.parent.mkdir(exist_ok=True)
    with writing(path) as stream:
        lines = (plain_data.writable(json.dumps(row, ensure_ascii=False)) for row in rows)
        stream.writelines(f"{line}\n".encode() for line in lines)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the objects of a JSONL file, without changing it.

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
        f"{path}:{number} is no JSON object, and every line has to be one; correct the line, or name another "
        "file (this one is left unchanged)"
    )


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=True).encode() + b"\n"
