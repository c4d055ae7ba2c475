"""One process at a time makes an output: a lock file beside it names the process, whose death gives the place free."""

from __future__ import annotations

import os
import socket
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from interank.errors import ArtifactError, BeingMadeError

# A process that has just taken a lock writes its name within this many seconds.
_PATIENCE = 2.0


class Held:
    """The right to make an output, kept until `release`, or until nobody refers to it.

    A process may hold a place several times, as when it tries again after a failure: the lock is between processes.
    """

    def __init__(self, out: Path) -> None:
        """Take the place of an output.

        Raises:
            BeingMadeError: Another process has it.
            ArtifactError: Its folder cannot be written to or takes no locks.
        """
        file = lock_file(out).absolute()
        # The file stands beside what is deleted and renamed, never in it.
        lock = FileLock(file, timeout=0, thread_local=False, is_singleton=True)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise BeingMadeError(
                f"{out} is being made by {_holder(file)}; wait until it is done or stop it, or choose another --out"
            ) from None
        except OSError as error:
            raise ArtifactError(f"{out} cannot be made: {error.strerror or error}; give another --out") from None
        # Where a file system knows no locks, the file's existence is the lock, and filelock writes the same lines.
        if not isinstance(lock, SoftFileLock):
            file.write_text(f"{os.getpid()}\n{socket.gethostname()}\n", "utf-8")
        self._release = weakref.finalize(self, _release, lock, file, os.getpid())

    def release(self) -> None:
        """Give the place free; more than once does nothing."""
        self._release()


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Hold the place of an output for the length of a block.

    Raises:
        ArtifactError: As of `Held`.
    """
    place = Held(out)
    try:
        yield
    finally:
        place.release()


@contextmanager
def one_at_a_time(file: Path) -> Iterator[None]:
    """Let one process at a time do what all who come may find done; the others wait for it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file):
        yield


def lock_file(out: Path) -> Path:
    """The file that is locked while an output is made."""
    return out.parent / f".{out.name}.lock"


def _release(lock: FileLock, file: Path, process: int) -> None:
    # A forked child has a copy of this, and no lock.
    if os.getpid() != process or not lock.is_locked:
        return
    if lock.lock_counter == 1 and not isinstance(lock, SoftFileLock):
        # Removed while it is locked: whoever opened it before finds it gone and opens a new one.
        file.unlink(missing_ok=True)
    lock.release()


def _holder(file: Path) -> str:
    """Who holds a lock, as far as its file tells."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            process, host = file.read_text("utf-8").split("\n")[:2]
        except (OSError, ValueError):
            time.sleep(0.02)
            continue
        if process.isdigit() and host:
            return f"process {process} on {host}"
        time.sleep(0.02)
    return f"another process ({file} is locked)"
