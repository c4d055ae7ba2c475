"""Real `vllm serve` processes, and the environment in which vLLM runs small."""

from __future__ import annotations

import atexit
import importlib.util
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180.0
_FORKED = "tests.support.forked_vllm"


def vllm_environment() -> dict[str, str]:
    """One thread, little memory, no word to its makers."""
    return {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }


@contextmanager
def small_vllm() -> Iterator[None]:
    """VLLM in this process runs small, and what it starts are forks of a process that has imported it.

    Where vLLM is not installed the test skips.
    """
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed; `make vllm` installs its build for CPUs")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in vllm_environment().items():
            patch.setenv(name, value)
        patch.setattr("vllm.v1.engine.utils.get_mp_context", lambda: multiprocessing.get_context("forkserver"))
        patch.setattr(forkserver, "connect_to_new_process", _engines().connect_to_new_process)
        yield


@cache
def _engines() -> forkserver.ForkServer:
    """What this process's engines are forked from; its commands, which fork too, keep their own."""
    made = forkserver.ForkServer()
    made.set_forkserver_preload([_FORKED])
    return made


@cache
def _servers() -> subprocess.Popen[str]:
    """What servers are forked from; their log says what goes wrong before they have one."""
    made = subprocess.Popen(
        [sys.executable, "-m", _FORKED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | vllm_environment(),
        cwd=ROOT,
        text=True,
    )
    atexit.register(_end, made)
    return made


def _end(starter: subprocess.Popen[str]) -> None:
    with starter:
        pass


class VllmServer:
    """A `vllm serve` of a model folder, which takes LoRA adapters while it runs if it is told their rank.

    As a context it is gone with all that it started when the context ends.
    """

    def __init__(
        self, model: Path, log: Path, *, name: str = "teacher", max_length: int = 512, lora_rank: int = 0
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        arguments = [
            *("serve", str(model), "--served-model-name", name, "--host", "127.0.0.1", "--port", str(self.port)),
            *("--dtype", "float32", "--enforce-eager", "--max-model-len", str(max_length), "--max-num-seqs", "16"),
        ]
        environment = {}
        if lora_rank:
            arguments += ["--enable-lora", "--max-lora-rank", str(lora_rank)]
            arguments += ["--logprobs-mode", "processed_logprobs"]
            environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
        self.log = log
        starter: Any = _servers()
        order = {"arguments": arguments, "environment": environment, "log": str(log)}
        print(json.dumps(order), file=starter.stdin, flush=True)
        self.pid = int(starter.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert psutil.pid_exists(self.pid), self.log.read_text("utf-8", "replace")[-3000:]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise AssertionError(f"vllm serve did not start: {self.log.read_text('utf-8', 'replace')[-3000:]}")

    def kill(self) -> None:
        """Without warning, with all that it started."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, 0)
            os.killpg(self.pid, signal.SIGKILL)
            while True:
                os.kill(self.pid, 0)
                time.sleep(0.01)
