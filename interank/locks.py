"""Locks that let one process at a time make an output; a lock file names the process and is freed when it dies."""

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

# Seconds within which a process that has taken a lock writes its name.
_PATIENCE = 2.0


class Held:
    """The lock on an output, kept until `release` or until the object is collected.

    A process may take the same lock several times, as when it tries again after a failure.
    """

    def __init__(self, out: Path) -> None:
        """Lock an output.

        Raises:
            BeingMadeError: Another process holds the lock.
            ArtifactError: Its folder cannot be written to or takes no locks.
        """
        file = lock_file(out).absolute()
        # The file is outside of the folders that are deleted and renamed.
        lock = FileLock(file, timeout=0, thread_local=False, is_singleton=True)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise BeingMadeError(
                f"{out} is being made by {_holder(file)}; wait for it or stop it, or choose another --out"
            ) from None
        except OSError as error:
            raise ArtifactError(f"{out} cannot be made: {error.strerror or error}; give another --out") from None
        # On a file system without locks the file's existence is the lock, and filelock itself writes these lines.
        if not isinstance(lock, SoftFileLock):
            file.write_text(f"{os.getpid()}\n{socket.gethostname()}\n", "utf-8")
        self._release = weakref.finalize(self, _release, lock, file, os.getpid())

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        self._release()


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Hold the lock on an output during a block.

    Raises:
        ArtifactError: As `Held`.
    """
    place = Held(out)
    try:
        yield
    finally:
        place.release()


@contextmanager
def one_at_a_time(file: Path) -> Iterator[None]:
    """Run a block in one process at a time; the others wait and may find its work done."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file):
        yield


def lock_file(out: Path) -> Path:
    """The file that is locked while an output is made."""
    return out.parent / f".{out.name}.lock"


def _release(lock: FileLock, file: Path, process: int) -> None:
    # A forked child has a copy of this object but not the lock.
    if os.getpid() != process or not lock.is_locked:
        return
    if lock.lock_counter == 1 and not isinstance(lock, SoftFileLock):
        # Removed while it is locked: a process that has it open already notices and opens a new one.
        file.unlink(missing_ok=True)
    lock.release()


def _holder(file: Path) -> str:
    """The holder of a lock, as its file names it."""
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
