"""How a command ends that is ended from outside: signals, streams that nobody reads, and the machine's faults."""

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
    """Nobody reads standard output any more."""


def told(error: Exception, options: Namespace) -> str | None:
    """The sentence about a fault of the machine; None of any other error."""
    found = machine.fault(error)
    if found is None:
        return None
    log.debug("this is where it failed", exc_info=error)
    return f"{machine.told(found, _output(options))}{hint(options)}"


def behind(error: InterankError, options: Namespace) -> str | None:
    """The sentence about a disk or handles at their end where another was raised for that; None where it is right."""
    # Training tells of its checkpoints, too.
    cause = None if isinstance(error, TrainingError) else error.__cause__ or error.__context__
    found = machine.fault(cause) if cause is not None else None
    if found is None or found.kind not in ("full", "quota", "handles"):
        return None
    return f"{machine.told(found, _output(options))}{hint(options)}"


def tell(how: str, options: Namespace) -> None:
    """Say that the command was ended from outside, once for all the processes that did it together."""
    if distributed.tells_of_its_end():
        print(f"interank: {how}{hint(options)}", file=sys.stderr)


def hint(options: Namespace) -> str:
    """How to go on from what is kept."""
    if "resume" in options and options.out is not None:
        return "; the same command with --resume goes on"
    return "; the same command goes on" if _keeps(options) else ""


def _keeps(options: Namespace) -> bool:
    """Whether the command was given a file in which it keeps what it has done."""
    return any(getattr(options, name) for name in getattr(options, "kept", ()))


def _output(options: Namespace) -> Path | None:
    names = ("out", *getattr(options, "kept", ()))
    return next((path for name in names if isinstance(path := getattr(options, name, None), Path)), None)


@contextmanager
def ready(options: Namespace) -> Iterator[None]:
    """Have streams that can be written to, and SIGTERM raise, as long as the command runs."""
    _open_closed()
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Printed(sys.stdout, needed=not _keeps(options)), _Said(sys.stderr)
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
    """What fails while a half-made object goes away is for developers; the sentence says what ended the command."""
    log.debug("%s: %r", failed.err_msg or "ignored", failed.object, exc_info=failed.exc_value)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _open_closed() -> None:
    """Take the numbers of closed standard streams, or the next file that is opened would be written to as one."""
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
    """A standard stream; whatever is not written or flushed is asked of the stream itself."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text; its length."""
        try:
            # Bars below each other move up by themselves; nothing else commands the terminal.
            self._stream.write(self.told(text))
        except OSError as error:
            self.failed(error)
        return len(text)

    def told(self, text: str) -> str:
        """What of a text is written."""
        raise NotImplementedError

    def flush(self) -> None:
        """Write what is held back."""
        try:
            self._stream.flush()
        except OSError as error:
            self.failed(error)

    def failed(self, error: OSError) -> None:
        """Send whatever else is written nowhere, also at the very end, when Python flushes."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


class _Said(_Stream):
    """Standard error: no work ends because nobody hears of it, and no secret is told."""

    def told(self, text: str) -> str:
        """The text without secrets, nor commands to a terminal: logs are read in one, too."""
        # Bars below each other move up by themselves; nothing else commands the terminal.
        return text if text.strip("\n") in _UP else shown(redacted(text))


class _Printed(_Stream):
    """Standard output; where files are written too, it is not needed."""

    def __init__(self, stream: Any, *, needed: bool) -> None:
        super().__init__(stream)
        self._needed = needed
        self._is_terminal = stream.isatty()

    def told(self, text: str) -> str:
        """The text as it is for a file or a pipe, whose reader wants each byte; a terminal is not commanded."""
        return shown(text) if self._is_terminal else text

    def failed(self, error: OSError) -> None:
        """Tell that from other broken pipes.

        Raises:
            ReaderGoneError: Whoever read has seen enough.
            OSError: It cannot be written.
        """
        super().failed(error)
        if not self._needed:
            return
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError(error.errno, error.strerror) from None
        raise error
