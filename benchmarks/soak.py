"""A server under mixed load for a long time: no wrong answer, no growing memory, and how long requests took.

python benchmarks/soak.py [--model DIR] [--seconds 1800] [--clients 6]

Requests of 1 to 60 documents, streams, explanations, bodies that cannot be read, and clients that leave in the middle
are asked of a server on a small random model, or on MODEL. Every reply is held to the scores that the same request had
alone at the beginning (a relative 1e-5); the server's memory is read each tenth of the time. It ends with 1 where an
answer was wrong, a reply was no reply, or memory at the end is more than a tenth above that after the first fifth.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import psutil

from benchmarks.serve import WORDS, waits
from tests.support.serve_process import Running
from tests.support.tiny_heads import tiny_base

BAD: tuple[bytes, ...] = (b"{", b"[]", b'{"query": 1}', b'{"query": "q", "documents": []}', b"\xff\xfe", b'{"a": NaN}')


def bodies() -> list[dict[str, Any]]:
    """Requests of all sizes, the same each time."""
    drawn = random.Random(7)
    return [
        {
            "query": f"Why does {' '.join(drawn.choices(WORDS, k=4))}?",
            "documents": [" ".join(drawn.choices(WORDS, k=drawn.randint(1, 90))) for _ in range(count)],
        }
        for count in (1, 2, 3, 5, 8, 13, 21, 34, 60)
    ]


class Soak:
    """One server and what its clients saw."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies = bodies()
        self.took: list[float] = []
        self.counts: dict[str, int] = {}
        self.wrong: list[str] = []
        self._lock = threading.Lock()
        self.http = httpx2.Client(timeout=120, limits=httpx2.Limits(max_connections=64))
        self.expected = [self._scores(body) for body in self.bodies]

    def _scores(self, body: dict[str, Any]) -> dict[int, float]:
        reply = self.http.post(f"{self.url}/rerank", json=body).raise_for_status().json()
        return {item["index"]: item["raw_score"] for item in reply["results"]}

    def count(self, kind: str, fault: str = "") -> None:
        """One more of a kind."""
        with self._lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            if fault:
                self.wrong.append(f"{kind}: {fault}")

    def client(self, seed: int, end: float) -> None:
        """Ask until the end."""
        drawn = random.Random(seed)
        while time.monotonic() < end:
            place, kind = drawn.randrange(len(self.bodies)), drawn.random()
            try:
                if kind < 0.1:
                    self._bad(drawn)
                elif kind < 0.2:
                    self._leaving(place)
                elif kind < 0.25:
                    self._streamed(place)
                else:
                    self._ranked(place)
            except (httpx2.HTTPError, OSError, ValueError, KeyError, IndexError) as error:
                self.count("failed", repr(error))

    def _ranked(self, place: int) -> None:
        begun = time.monotonic()
        reply = self.http.post(f"{self.url}/rerank", json=self.bodies[place])
        if reply.status_code in (429, 503):
            self.count("refused", "" if "retry-after" in reply.headers else "no Retry-After")
            return
        self._hold(place, reply.raise_for_status().json()["results"], "ranked")
        self.took.append(time.monotonic() - begun)

    def _hold(self, place: int, results: list[dict[str, Any]], kind: str) -> None:
        expected = self.expected[place]
        close = len(results) == len(expected) and all(
            math.isclose(item["raw_score"], expected[item["index"]], rel_tol=1e-5, abs_tol=1e-5) for item in results
        )
        self.count(kind, "" if close else f"other scores of request {place}")

    def _streamed(self, place: int) -> None:
        body = self.bodies[min(place, 3)] | {"stream": True, "explain": 1, "max_reasoning_tokens": 16}
        text = self.http.post(f"{self.url}/rerank", json=body).text
        first = text.split("\n\n", 1)[0].split("data: ", 1)[1]
        self._hold(min(place, 3), json.loads(first)["results"], "streamed")
        if "event: done" not in text:
            self.count("streamed", "no end")

    def _bad(self, drawn: random.Random) -> None:
        reply = self.http.post(f"{self.url}/rerank", content=drawn.choice(BAD))
        self.count("bad", "" if reply.status_code in (422, 503) else f"status {reply.status_code}")

    def _leaving(self, place: int) -> None:
        body = json.dumps(self.bodies[place]).encode()
        host, port = self.url.removeprefix("http://").split(":")
        head = f"POST /rerank HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection((host, int(port))) as own:
            own.sendall(head + body)
            time.sleep(0.005)
        self.count("left")


def run(url: str, pid: int, seconds: float, clients: int) -> int:
    """Soak a server; 1 where something was wrong."""
    soak = Soak(url)
    process, memory = psutil.Process(pid), []
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=soak.client, args=(seed, end)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        memory.append(process.memory_info().rss / 2**20)
        time.sleep(seconds / 10)
    for place, body in enumerate(soak.bodies):
        soak._hold(place, soak.http.post(f"{url}/rerank", json=body).raise_for_status().json()["results"], "ranked")
    settled = memory[min(2, len(memory) - 1)]
    grown = memory[-1] > 1.1 * settled
    row = {
        "seconds": seconds,
        "clients": clients,
        "counts": soak.counts,
        **waits(soak.took),
        "memory_mb": [round(value) for value in memory],
        "wrong": soak.wrong[:5],
    }
    print(json.dumps(row))
    return int(bool(soak.wrong) or grown)


def main() -> int:
    """Start a server and soak it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--clients", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or str(tiny_base(Path(folder) / "tiny", family="chatml"))
        running = Running(model, Path(folder), "--quiet")
        try:
            return run(running.url, running.process.pid, options.seconds, options.clients)
        finally:
            running.end()


if __name__ == "__main__":
    sys.exit(main())
