"""Stages as commands of their own, where they leave what is unfinished, and processes that end with their test."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from tests.chaos.starter import Order, Started, Starter

_INTERANK = [sys.executable, "-m", "interank.cli.app"]


@cache
def _starter() -> Starter:
    made = Starter()
    atexit.register(made.close)
    return made


@contextmanager
def forked(arguments: Sequence[str]) -> Iterator[tuple[Started, Path]]:
    """One of `command`'s in a fork that has imported what it needs, and the file that it writes its errors to.

    Afterwards it is gone with all that it started, failed or not. One at a time.
    """
    assert arguments[:3] == _INTERANK
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        said.touch()
        with ordered(Order(arguments[3:], stderr=str(said))) as process:
            yield process, said


@contextmanager
def ordered(order: Order) -> Iterator[Started]:
    """What is ordered, in a fork as above in this environment; afterwards it is gone with all that it started."""
    process = _starter().start(replace(order, environment={**os.environ, **order.environment}))
    try:
        yield process
    finally:
        kill(process)
        process.wait()


def kill(process: Started) -> None:
    """Without warning, with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def alive(process: Started) -> bool:
    """Whether a forked command has not ended."""
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def started(arguments: Sequence[str | Path], **how: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process in a session of its own; afterwards it, what it started and its pipes are gone, failed or not."""
    # A shell's jobs in the background ignore an interrupt, and hand that on.
    with subprocess.Popen(arguments, start_new_session=True, preexec_fn=_heed_interrupts, **how) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def command(verb: str, recipe: Path, out: Path, *more: str) -> list[str]:
    return [*_INTERANK, verb, str(recipe), *more, "--out", str(out), "--quiet"]


def partial(out: Path) -> Path:
    return out.parent / f".{out.name}.partial"
