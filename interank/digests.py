"""Digests of files: one that stays as it is is read once a process, though several steps look at it."""

from __future__ import annotations

import functools
import hashlib
import time
from pathlib import Path

# Seconds after which a file that is written again has another time, on any file system.
_SETTLED = 2.0


def sha256(file: Path) -> str:
    """Of a file's content, in hexadecimal digits."""
    about = file.stat()
    # What was written a moment ago may be written again at what the file system calls the same time.
    if time.time() - max(about.st_mtime, about.st_ctime) < _SETTLED:
        return _hashed(file)
    return _hashed_once(file.resolve(), about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


@functools.lru_cache(maxsize=4096)
def _hashed_once(file: Path, *_state: int) -> str:
    return _hashed(file)


def _hashed(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
