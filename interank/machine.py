"""Recognises faults of the machine behind errors (disk, file handles, memory) and words them for users."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# Linux's file with the memory limit of a container.
_LIMIT = Path("/sys/fs/cgroup/memory.max")

Kind = Literal["full", "quota", "forbidden", "broken", "handles", "memory"]

_BY_NUMBER: dict[int, Kind] = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "quota",
    errno.EFBIG: "quota",
    errno.EROFS: "forbidden",
    errno.EACCES: "forbidden",
    errno.EPERM: "forbidden",
    errno.EIO: "broken",
    errno.ESTALE: "broken",
    errno.EMFILE: "handles",
    errno.ENFILE: "handles",
    errno.ENOMEM: "memory",
}
# Words in the errors of SQLite, Arrow, safetensors and torch; torch's writer only gives its file position.
_BY_WORDS: dict[str, Kind] = {
    "no space left": "full",
    "disk quota": "quota",
    "disk is full": "full",
    "pytorchstreamwriter failed": "full",
    "unexpected pos": "full",
    "file write failed": "full",
    "file too large": "quota",
    "readonly database": "forbidden",
    "read-only file system": "forbidden",
    "disk i/o error": "broken",
    "input/output error": "broken",
    "too many open files": "handles",
    "can't allocate memory": "memory",
    "cannot allocate memory": "memory",
    "out of memory": "memory",
}


def free_memory() -> int:
    """The bytes that this process can still take, by the machine's free memory and a container's limit."""
    import psutil  # Slow to import, and every command imports this module.

    free = int(psutil.virtual_memory().available)
    if not _LIMIT.is_file() or (most := _LIMIT.read_text("ascii").strip()) == "max":
        return free
    return min(free, max(0, int(most) - int(psutil.Process().memory_info().rss)))


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the machine, and the file where it occurred, if known."""

    kind: Kind
    file: Path | None = None


def fault(error: BaseException) -> Fault | None:
    """The fault of the machine that caused an error; None if there is another cause."""
    for each in _chain(error):
        kind = _kind(each)
        if kind is not None:
            name = getattr(each, "filename", None)
            return Fault(kind, Path(os.fsdecode(name)) if isinstance(name, str | bytes) else None)
    return None


def _kind(error: BaseException) -> Kind | None:
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, OSError) and error.errno in _BY_NUMBER:
        return _BY_NUMBER[error.errno]
    message = str(error).lower()
    return next((kind for words, kind in _BY_WORDS.items() if words in message), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes and contexts."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def message(problem: Fault, out: Path | None = None) -> str:
    """The sentence about a fault and its remedy.

    Args:
        problem: The fault.
        out: The command's output, if it has one.
    """
    file = problem.file or out or "a file"
    if problem.kind == "full":
        return _full(problem, out)
    if problem.kind == "quota":
        place = problem.file or out or "the disk"
        return f"no more may be written to {place} (a quota, or ulimit -f); raise it or free some space"
    if problem.kind == "forbidden":
        return f"{file} cannot be written or read; change its permissions or name another place"
    if problem.kind == "broken":
        return f"the disk of {file} gives errors when it is read or written; check the disk"
    if problem.kind == "handles":
        return "there are too many open files; raise the limit (ulimit -n)"
    return "there is not enough memory; free some, or take smaller batches or a smaller model"


def _full(problem: Fault, out: Path | None) -> str:
    place = _fullest([path for path in (problem.file, out, Path(tempfile.gettempdir())) if path is not None])
    usage = shutil.disk_usage(place)
    taken = _taken(out)
    so_far = f", and the unfinished output takes {_size(taken)}" if taken else ""
    return (
        f"the disk that holds {place} is full ({_size(usage.free)} of {_size(usage.total)} are left{so_far}); "
        "free some space"
    )


def _fullest(paths: list[Path]) -> Path:
    """The existing folder on or above the paths whose disk has the least space left; errors seldom name the disk."""
    there = [next(folder for folder in (path, *path.parents) if folder.exists()) for path in map(Path.absolute, paths)]
    return min(there, key=lambda path: shutil.disk_usage(path).free)


def _taken(out: Path | None) -> int:
    """The size of the unfinished output in bytes."""
    partial = out and out.absolute().parent / f".{out.name}.partial"
    if partial is None or not partial.is_dir():
        return 0
    return sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
