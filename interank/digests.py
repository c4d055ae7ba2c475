"""Digests of files; an unchanged file is hashed once a process."""

from __future__ import annotations

import functools
import hashlib
import time
from pathlib import Path

# Seconds after which a new write gets a new time stamp, on any file system.
_SETTLED = 2.0


def sha256(file: Path) -> str:
    """The sha256 of a file's content, in hexadecimal digits."""
    status = file.stat()
    # A file that was just written may be written again with the same time stamp.
    if time.time() - max(status.st_mtime, status.st_ctime) < _SETTLED:
        return _hashed(file)
    return _hashed_once(file.resolve(), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@functools.lru_cache(maxsize=4096)
def _hashed_once(file: Path, *_state: int) -> str:
    return _hashed(file)


def _hashed(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
