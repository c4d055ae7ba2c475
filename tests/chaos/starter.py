"""Starts commands one at a time, each in a session of its own: as forks that have torch already, or anew."""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from tests.chaos.hook import install

ROOT = Path(__file__).resolve().parents[2]
# What the commands import; most of a minute for fifty of them.
HEAVY = (
    *(f"interank.stages.{name}" for name in ("generate", "distill", "rl", "evaluate")),
    "interank.reranking.reranker",
    "interank.tasks.judge.grpo",
    "interank.evaluation.record",
)


@dataclass(frozen=True)
class Order:
    """A command and what it starts with."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stdout: str | None = os.devnull
    stderr: str | None = os.devnull
    stdin: str | None = os.devnull
    """Files, read from or appended to; None is a closed handle."""
    cold: bool = False
    """Whether it imports all it needs itself."""
    together: int = 1
    """How many processes are to do it: of more than one the commands are a file's, as in `distributed_commands`."""


class Started:
    """A command that runs."""

    def __init__(self, pid: int, told: object) -> None:
        self.pid = pid
        self._told = told
        self._code: int | None = None

    def wait(self) -> int:
        """Its exit code; minus the signal that it died of."""
        if self._code is None:
            self._code = int(self._told.readline())  # type: ignore[attr-defined]
        return self._code


class Starter:
    """The process whose forks the commands are."""

    def __init__(self) -> None:
        began = time.monotonic()
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
            "PYTHONWARNINGS": "ignore",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "passive",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=ROOT,
            text=True,
        )
        assert self._process.stdin and self._process.stdout
        self._orders, self._told = self._process.stdin, self._process.stdout
        assert self._told.readline() == "ready\n"
        self.seconds = time.monotonic() - began
        """What the imports take."""

    def start(self, order: Order) -> Started:
        """Start a command; the one before has to have ended."""
        self._orders.write(json.dumps(asdict(order)) + "\n")
        self._orders.flush()
        return Started(int(self._told.readline()), self._told)

    def close(self) -> None:
        self._orders.close()
        self._process.wait(30)
        self._told.close()


def _serve() -> int:
    """Start what is ordered on standard input; in a fork, the command's exit code."""
    for name in HEAVY:
        importlib.import_module(name)
    # What a fork's collection of garbage visits, at its end too, is copied for it, page by page.
    gc.freeze()
    # Orders and answers have handles of their own; the commands' standard streams are others.
    orders, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    print("ready", file=answers, flush=True)
    while line := orders.readline():
        order = Order(**json.loads(line))
        pid = os.fork()
        if not pid:
            os.close(orders.fileno())
            os.close(answers.fileno())
            return _run(order)
        print(pid, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)
    return 0


def _run(order: Order) -> int:
    os.setsid()
    # A shell hands interrupts on as ignored to what it runs in the background, and so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(order.environment)
    _take(0, order.stdin, os.O_RDONLY)
    _take(1, order.stdout, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    _take(2, order.stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if order.cold:
        os.environ["PYTHONPATH"] = os.pathsep.join((str(Path(__file__).parent / "site"), str(ROOT)))
        os.execv(sys.executable, [sys.executable, "-m", "interank.cli.app", *order.arguments])
    # As Python finds them at its start.
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            setattr(sys, name, None)
        else:
            setattr(sys, name, stream(number))
    if order.together > 1:
        from tests.support.distributed_commands import in_forks

        return in_forks(order.arguments[0], order.together)
    from interank.cli.app import main

    install()
    return main(order.arguments)


def stream(number: int) -> TextIO:
    """A standard stream on its handle, as Python makes it."""
    return open(number, "w" if number else "r", 1 if number == 2 else -1, closefd=False)


def _take(handle: int, path: str | None, flags: int) -> None:
    if path is None:
        os.close(handle)
        return
    opened = os.open(path, flags)
    os.dup2(opened, handle)
    os.close(opened)


if __name__ == "__main__":
    sys.exit(_serve())
