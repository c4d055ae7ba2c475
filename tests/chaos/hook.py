"""Counts the changes that a command makes under a folder; at one of them ends it, or takes its disk or its handles."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

ORDER = "INTERANK_CHAOS"
FILLER = "filler"
_PAGE = 4096
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Of each event of a change, where its paths and the handle of their folder stand.
_CHANGES: dict[str, tuple[int, int | None]] = {
    "os.rename": (1, 2),
    "os.remove": (0, 1),
    "os.mkdir": (0, 2),
    "os.rmdir": (0, 1),
    "os.link": (1, 2),
    "os.symlink": (1, 2),
    "os.truncate": (0, None),
    "sqlite3.connect": (0, None),
}


def install() -> None:
    """Follow the order in the environment, unless this is a process that the command started."""
    order = os.environ.get(ORDER)
    if order and os.getpid() == os.getpgrp():
        sys.addaudithook(_Hook(**json.loads(order)))


class _Hook:
    """Counts changes; at the one it waits for it does what it was told."""

    def __init__(self, folder: str, journal: str, at: int, do: str, spare: int) -> None:
        self.folder, self.at, self.do, self.spare = folder, at, do, spare
        self.journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.changes = 0
        self.process = os.getpid()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if (event != "open" and event not in _CHANGES) or os.getpid() != self.process:
            return
        path = self._changed(event, arguments)
        if path is None:
            return
        self.changes += 1
        os.write(self.journal, f"{event} {path}\n".encode())
        if self.changes == self.at:
            getattr(self, f"_{self.do}")()

    def _changed(self, event: str, arguments: tuple[Any, ...]) -> str | None:
        """The path under the folder that is about to change."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or path is None or not flags & _WRITING:
                return None
            inside = None
        else:
            place, beside = _CHANGES[event]
            path = arguments[place]
            inside = arguments[beside] if beside is not None else None
            if isinstance(path, int):
                return None
        text = os.fsdecode(path)
        if isinstance(inside, int) and inside >= 0:
            text = f"{Path(f'/proc/self/fd/{inside}').readlink()}/{text}"
        text = str(Path(text.removeprefix("file:").partition("?")[0]).absolute())
        return text.removeprefix(self.folder) if text.startswith(self.folder) else None

    def _nothing(self) -> None:
        """Only count."""

    def _kill(self) -> None:
        os.kill(self.process, signal.SIGKILL)

    def _term(self) -> None:
        os.kill(self.process, signal.SIGTERM)

    def _int(self) -> None:
        os.kill(self.process, signal.SIGINT)

    def _fill(self) -> None:
        """Leave the disk so many bytes."""
        filler = os.open(f"{self.folder}/{FILLER}", os.O_WRONLY | os.O_CREAT)
        free = os.statvfs(self.folder)
        size = max(0, free.f_bavail * free.f_frsize - self.spare)
        if size:
            os.posix_fallocate(filler, 0, size)
        os.close(filler)

    def _few(self) -> None:
        """Leave the process so many handles."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        free = os.open(os.devnull, os.O_RDONLY)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + self.spare, hard))
