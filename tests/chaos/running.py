"""One command under an ending: its streams, the signal or the full disk that ends it, and that nothing outlives it."""

from __future__ import annotations

import json
import os
import select
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.hook import ORDER
from tests.chaos.starter import Order, Started, Starter

_LONGEST = 300.0
# What processes that the command started may take to see that it is gone.
_GRACE = 5.0


class EndError(AssertionError):
    """A command ended otherwise than it should; says how."""


@dataclass(frozen=True)
class Ending:
    """What a command meets: at a change on disk by its hook, after seconds from outside, or from its start."""

    do: str = "nothing"
    """What the hook does, or a signal's name in small letters."""
    at: int = 0
    spare: int = 0
    seconds: float | None = None
    group: bool = False
    closed: Sequence[str] = ()
    """Streams that are closed when it starts."""
    readers_go: bool = False
    """Whether after the seconds nobody reads what it writes."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, what it said, and how many changes it had made on disk."""

    code: int
    said: str
    changes: int
    seconds: float

    @property
    def sentences(self) -> list[str]:
        return [line for line in self.said.splitlines() if line.startswith("interank: ")]


@dataclass
class _Streams:
    """The files that a command's streams lead to."""

    said: Path
    paths: dict[str, str | None] = field(default_factory=dict)
    reader: int | None = None

    def text(self) -> str:
        return self.said.read_text("utf-8", "replace") if self.said.is_file() else ""


def run(starter: Starter, arguments: Sequence[str], folder: Path, ending: Ending, *, cold: bool = False) -> Ended:
    """Run a command that changes `folder`, to its end and to that of all that it started.

    Raises:
        EndError: It did not end, or something that it started goes on.
    """
    streams = _open_streams(folder, ending)
    journal = folder.with_name(f"{folder.name}.journal")
    journal.write_bytes(b"")
    order = Order(arguments, _environment(folder, journal, ending), cold=cold, **streams.paths)
    began = time.monotonic()
    started = starter.start(order)
    over = threading.Event()
    watches = [threading.Thread(target=_end_late, args=[started, over])]
    if streams.reader is not None:
        watches.append(threading.Thread(target=_read, args=[streams.reader, ending.seconds, over]))
    elif ending.seconds is not None:
        watches.append(threading.Thread(target=_signal, args=[started, ending, over]))
    for watch in watches:
        watch.start()
    code = started.wait()
    seconds = time.monotonic() - began
    over.set()
    for watch in watches:
        watch.join()
    ended = Ended(code, streams.text(), journal.read_bytes().count(b"\n"), seconds)
    if seconds > _LONGEST:
        raise EndError(f"had to be killed after {seconds:.0f} s; it said: {ended.said}")
    if left := _outlived(started.pid):
        raise EndError(f"{left} processes of the command went on when it had ended with {code}")
    return ended


def _environment(folder: Path, journal: Path, ending: Ending) -> Mapping[str, str]:
    do = ending.do if ending.seconds is None and ending.at else "nothing"
    hook = {"folder": str(folder), "journal": str(journal), "at": ending.at, "do": do, "spare": ending.spare}
    return {ORDER: json.dumps(hook)}


def _open_streams(folder: Path, ending: Ending) -> _Streams:
    streams = _Streams(folder.with_name(f"{folder.name}.said"))
    streams.said.unlink(missing_ok=True)
    if ending.readers_go:
        os.mkfifo(streams.said)
        streams.reader = os.open(streams.said, os.O_RDONLY | os.O_NONBLOCK)
    else:
        streams.said.touch()
    printed = streams.said if ending.readers_go else folder.with_name(f"{folder.name}.printed")
    streams.paths = {"stdout": str(printed), "stderr": str(streams.said)}
    streams.paths |= dict.fromkeys(ending.closed)
    return streams


def _read(reader: int, seconds: float | None, over: threading.Event) -> None:
    """Read a pipe for some seconds, then close it."""
    until = time.monotonic() + (seconds or 0.0)
    while (left := until - time.monotonic()) > 0 and not over.is_set():
        if select.select([reader], [], [], min(left, 0.05))[0] and not os.read(reader, 1 << 16):
            # Nobody writes yet, or any more.
            time.sleep(0.01)
    os.close(reader)


def _signal(started: Started, ending: Ending, over: threading.Event) -> None:
    if not over.wait(ending.seconds):
        with _gone_is_fine():
            number = getattr(signal, f"SIG{ending.do.upper()}")
            (os.killpg if ending.group else os.kill)(started.pid, number)


def _end_late(started: Started, over: threading.Event) -> None:
    if not over.wait(_LONGEST):
        with _gone_is_fine():
            os.killpg(started.pid, signal.SIGKILL)


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    """The starter waits for the command, so its number may be free when the signal comes."""
    try:
        yield
    except ProcessLookupError:
        return


def _outlived(session: int) -> int:
    """How many processes of a session whose first has ended are there after the grace; they are killed."""
    deadline = time.monotonic() + _GRACE
    while (left := _of_session(session)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        with _gone_is_fine():
            os.kill(pid, signal.SIGKILL)
    return len(left)


def _of_session(session: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                # After the name in brackets: state, parent, group, session.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(folder.name))
    return found
