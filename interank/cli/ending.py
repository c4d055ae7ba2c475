"""Ends a command cleanly on signals, closed streams and faults of the machine."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from interank import distributed, machine
from interank.errors import InterankError, Terminated, TrainingError
from interank.redaction import redacted, shown

log = logging.getLogger(__name__)


class ReaderGoneError(BrokenPipeError):
    """The reader of standard output has closed it."""


def fault_message(error: Exception, options: Namespace) -> str | None:
    """The sentence about a fault of the machine; None for any other error."""
    fault = machine.fault(error)
    if fault is None:
        return None
    log.debug("this is where it failed", exc_info=error)
    return f"{machine.message(fault, _output(options))}{hint(options)}"


def cause_message(error: InterankError, options: Namespace) -> str | None:
    """The sentence about a full disk, a quota or used-up handles that caused an error; None without such a cause."""
    # The message of a training error also names its checkpoints.
    cause = None if isinstance(error, TrainingError) else error.__cause__ or error.__context__
    fault = machine.fault(cause) if cause is not None else None
    if fault is None or fault.kind not in ("full", "quota", "handles"):
        return None
    return f"{machine.message(fault, _output(options))}{hint(options)}"


def announce(how: str, options: Namespace) -> None:
    """Print that the command was ended from outside, once for all processes of a launch."""
    if distributed.tells_of_its_end():
        print(f"interank: {how}{hint(options)}", file=sys.stderr)


def hint(options: Namespace) -> str:
    """The end of a sentence that tells how to resume; empty if nothing is kept."""
    if "resume" in options and options.out is not None:
        return "; the same command with --resume goes on"
    return "; the same command goes on" if _keeps(options) else ""


def _keeps(options: Namespace) -> bool:
    """Whether the command writes a file from which it can resume."""
    return any(getattr(options, name) for name in getattr(options, "kept", ()))


def _output(options: Namespace) -> Path | None:
    names = ("out", *getattr(options, "kept", ()))
    return next((path for name in names if isinstance(path := getattr(options, name, None), Path)), None)


@contextmanager
def ready(options: Namespace) -> Iterator[None]:
    """Make the standard streams writable and SIGTERM raise while the command runs."""
    _open_closed()
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Output(sys.stdout, needed=not _keeps(options)), _Errors(sys.stderr)
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if is_main else None
    unraisable = sys.unraisablehook
    sys.unraisablehook = _note
    try:
        yield
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)
        sys.unraisablehook = unraisable
        sys.stdout, sys.stderr = streams


def _note(failed: sys.UnraisableHookArgs) -> None:
    """Log an exception of an object's destructor for developers only; users read why the command ended."""
    log.debug("%s: %r", failed.err_msg or "ignored", failed.object, exc_info=failed.exc_value)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _open_closed() -> None:
    """Open closed standard streams on `/dev/null`; otherwise the next opened file would take a stream's number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


_UP = frozenset("\x1b[A" * lines for lines in range(4))


class _Stream:
    """A standard stream that survives write errors; other attributes are the wrapped stream's."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text and return its length."""
        try:
            self._stream.write(self.cleaned(text))
        except OSError as error:
            self.failed(error)
        return len(text)

    def cleaned(self, text: str) -> str:
        """The text as it is written."""
        raise NotImplementedError

    def flush(self) -> None:
        """Flush the stream."""
        try:
            self._stream.flush()
        except OSError as error:
            self.failed(error)

    def failed(self, error: OSError) -> None:
        """Redirect the stream to `/dev/null`, also for Python's own flush at exit."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


class _Errors(_Stream):
    """Standard error: a write error ends no work, and secrets are redacted."""

    def cleaned(self, text: str) -> str:
        """The text without secrets and terminal escapes, since logs are read in terminals too."""
        # Only stacked progress bars may move the cursor up.
        return text if text.strip("\n") in _UP else shown(redacted(text))


class _Output(_Stream):
    """Standard output; a write error ends the command only if it writes no files."""

    def __init__(self, stream: Any, *, needed: bool) -> None:
        super().__init__(stream)
        self._needed = needed
        self._is_terminal = stream.isatty()

    def cleaned(self, text: str) -> str:
        """The text without escapes for a terminal; unchanged for a file or a pipe."""
        return shown(text) if self._is_terminal else text

    def failed(self, error: OSError) -> None:
        """End the command if its output is needed.

        Raises:
            ReaderGoneError: The reader has closed the pipe.
            OSError: The stream cannot be written to.
        """
        super().failed(error)
        if not self._needed:
            return
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError(error.errno, error.strerror) from None
        raise error
