"""A kill at the n-th change of a disk, in this process: what is opened to write, renamed, made or removed is counted.

What the interpreter does to files it announces to its audit hooks, so nothing has to be replaced by a double. From the
n-th change on every change is refused, cleaning up included, as a process that was killed changes nothing any more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHANGES = {"os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.mkdir": 2, "os.link": 2, "os.symlink": 2}
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Killed(BaseException):
    """The process would be dead now."""


@dataclass
class Disk:
    """Counts the changes below a folder, and is dead from the n-th on."""

    folder: str
    last: int | None
    torn: bool
    changes: int = 0
    until: Callable[[], bool] | None = None
    """Where it is given: the change at which it holds for the first time is the last."""

    def note(self, event: str, args: tuple[Any, ...]) -> None:
        path = _changed(event, args)
        # Locks are the kernel's, which gives them free when a process dies.
        if path is None or not path.startswith(self.folder) or path.endswith(".lock"):
            return
        self.changes += 1
        if self.until is not None and self.until():
            self.last, self.until = self.changes, None
        if self.last is not None and self.changes >= self.last:
            if self.torn and event == "open" and self.changes == self.last:
                _tear(path, args[2])
            raise Killed(f"change {self.changes}: {event} {path}")


_watching: list[Disk] = []
_tearing = False


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _watching and not _tearing and (event == "open" or event in _CHANGES):
        for disk in _watching:
            disk.note(event, args)


def _tear(path: str, flags: int) -> None:
    """Open the file as asked, and leave it there without what was to be written."""
    global _tearing
    _tearing = True
    try:
        os.close(os.open(path, flags, 0o600))
    finally:
        _tearing = False


def _changed(event: str, args: tuple[Any, ...]) -> str | None:
    """The path that an event is about to change, absolute."""
    path = args[0]
    if event == "open" and not (isinstance(args[2], int) and args[2] & _TO_WRITE):
        return None
    if not isinstance(path, str | bytes | os.PathLike):
        return None
    named = Path(os.fsdecode(path))
    if named.is_absolute():
        return str(named)
    folder = args[_CHANGES[event]] if event in _CHANGES else -1
    # What rmtree removes is named relative to a folder that it has open.
    return str((Path(f"/proc/self/fd/{folder}").readlink() if folder not in (-1, None) else Path.cwd()) / named)


_hooked = False


@contextmanager
def watched(folder: Path, *, kill_at: int | None = None, torn: bool = False) -> Iterator[Disk]:
    """Count the changes below a folder; at change `kill_at` comes `Killed`.

    With `torn` a file that was to be written is opened, so that what stood in it is gone, and left empty.
    """
    global _hooked
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    disk = Disk(str(folder.resolve()), kill_at, torn)
    _watching.append(disk)
    try:
        yield disk
    finally:
        _watching.remove(disk)
