"""`interank serve` as a process of its own, from when it is ready until it is ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether it says 200."""
    try:
        return httpx2.get(url, timeout=5).status_code == 200
    except httpx2.RequestError:
        return False


class Running:
    """A server that is ready, and what it writes to its log."""

    def __init__(self, model: Path | str, folder: Path, *more: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.log = folder / f"serve-{self.port}.log"
        command = [sys.executable, "-m", "interank", "serve", str(model), "--port", str(self.port), *more]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.started = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log, env=environment)
        self.url = f"http://127.0.0.1:{self.port}"
        while not answers(f"{self.url}/ready"):
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        self.seconds = time.monotonic() - self.started

    def post(self, body: Any) -> httpx2.Response:
        return httpx2.post(f"{self.url}/rerank", json=body, timeout=120)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
