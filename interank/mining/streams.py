"""The files of a dump as byte streams: plain, gzipped, or inside a 7z archive, without unpacking to disk."""

from __future__ import annotations

import gzip
import lzma
import os
import queue
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.errors import InputError

CHUNK = 1 << 18
# Chunks that unpacking may be ahead of the reader.
_AHEAD = 4


class CutShortError(Exception):
    """A stream breaks off; the message says why. The bytes before are valid."""


@dataclass(frozen=True, slots=True)
class Table:
    """One file of a dump, such as its `Posts.xml`; `member` is its name inside the archive at `path`."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"

    @property
    def seekable(self) -> bool:
        """Whether a part of it can be read by its positions."""
        return self.member is None and self.path.suffix != ".gz"

    @property
    def size(self) -> int:
        """The bytes on disk; for a member, those of the whole archive."""
        return self.path.stat().st_size

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes, of a seekable table also from `start` up to `end`.

        Raises:
            CutShortError: The file breaks off; its readable bytes were yielded before.
        """
        if self.member is not None:
            return _member_chunks(self.path, self.member)
        return _gzip_chunks(self.path) if self.path.suffix == ".gz" else _plain_chunks(self.path, start, end)


def archive_members(path: Path) -> list[str]:
    """The names of the files in a 7z archive.

    Raises:
        InputError: It cannot be opened as a 7z archive.
    """
    import py7zr

    try:
        with py7zr.SevenZipFile(path) as archive:
            return list(archive.namelist())
    except (py7zr.exceptions.ArchiveError, py7zr.exceptions.PasswordRequired, *_FAULTS) as error:
        raise InputError(
            f"{path} cannot be opened as a 7z archive ({_reason(error)}): the list of files is at its end, so the "
            "archive may be cut short; fetch it again"
        ) from None


def _plain_chunks(path: Path, start: int, end: int | None) -> Iterator[bytes]:
    # Unbuffered, since a buffer would only add a copy.
    with path.open("rb", buffering=0) as file:
        left = (file.seek(0, os.SEEK_END) if end is None else end) - file.seek(start)
        while left > 0 and (chunk := file.read(min(left, CHUNK))):
            left -= len(chunk)
            yield chunk


def _gzip_chunks(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as file:
        while True:
            try:
                # read() would lose the bytes before an error.
                chunk = file.read1(CHUNK)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise CutShortError(_reason(error)) from None
            if not chunk:
                return
            yield chunk


def _member_chunks(path: Path, member: str) -> Iterator[bytes]:
    # py7zr writes to a file object; a thread and a short queue turn that into reading.
    box: queue.Queue[bytes | CutShortError | None] = queue.Queue(_AHEAD)
    stop = threading.Event()
    thread = threading.Thread(target=_unpack, args=(path, member, box, stop), daemon=True)
    thread.start()
    try:
        while (item := box.get()) is not None:
            if isinstance(item, CutShortError):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def _unpack(path: Path, member: str, box: queue.Queue[bytes | CutShortError | None], stop: threading.Event) -> None:
    import py7zr

    def send(item: bytes | CutShortError | None) -> None:
        while not stop.is_set():
            try:
                box.put(item, timeout=0.1)
                return
            except queue.Full:
                continue
        raise _AbandonedError

    # However unpacking ends, the reader must be told, since it waits for the next chunk.
    last: CutShortError | None = CutShortError("unpacking failed")
    try:
        with py7zr.SevenZipFile(path) as archive:
            archive.extract(targets=[member], factory=_Sinks(send))
        last = None
    except (py7zr.exceptions.ArchiveError, py7zr.exceptions.PasswordRequired, *_FAULTS) as error:
        last = CutShortError(_reason(error))
    except _AbandonedError:
        stop.set()
    finally:
        with suppress(_AbandonedError):
            send(last)


# Errors that the decompressors and py7zr's header reader raise on broken archives.
_FAULTS = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AssertionError,
    AttributeError,
    MemoryError,
    lzma.LZMAError,
    zlib.error,
)


class _AbandonedError(Exception):
    """The reader has stopped."""


class _Sinks:
    """Passes the bytes that py7zr unpacks to a function; it has the interface of py7zr's WriterFactory."""

    def __init__(self, send: Any) -> None:
        self._send = send

    def create(self, filename: str) -> _Sink:
        """A sink for one file."""
        return _Sink(self._send)


class _Sink:
    """py7zr's Py7zIO for one file: writing only."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self._size = 0

    def write(self, data: bytes | bytearray) -> int:
        """Pass the bytes on in small chunks, since py7zr writes up to 128 MB at once."""
        view = memoryview(data)
        for start in range(0, len(view), CHUNK):
            self._send(bytes(view[start : start + CHUNK]))
        self._size += len(view)
        return len(view)

    def read(self, size: int | None = None) -> bytes:
        """Read nothing: the bytes are not kept."""
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Stay at 0: a sink has no positions."""
        return 0

    def flush(self) -> None:
        """Do nothing: a sink has no buffer."""

    def size(self) -> int:
        """The number of written bytes."""
        return self._size

    def close(self) -> None:
        """Do nothing: a sink holds no file."""


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
