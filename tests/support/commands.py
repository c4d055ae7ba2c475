"""Stages as commands of their own, where they leave what is unfinished, and processes that end with their test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def started(arguments: Sequence[str | Path], **how: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process in a session of its own; afterwards it, what it started and its pipes are gone, failed or not."""
    with subprocess.Popen(arguments, start_new_session=True, **how) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def command(verb: str, recipe: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "interank.cli.app", verb, str(recipe), *more, "--out", str(out), "--quiet"]


def partial(out: Path) -> Path:
    return out.parent / f".{out.name}.partial"
