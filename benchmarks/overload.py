"""What a server does that is asked for more than it can: answers in time, or refuses at once.

python benchmarks/overload.py [--model DIR] [--seconds 30] [--times 4] [--timeout 10] [--documents 1,4,16]

Eight clients first ask a server on a small random model, or on MODEL, one request after the other, which tells how many
it answers in a second. Then requests come at random moments, TIMES as many in a second, whether others are answered or
not. It ends with 1 where an answer came later than the timeout, one that was taken on was not answered, or a refusal
took more than 100 ms, by the server's own log.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.serve import asked, waits
from tests.support.serve_process import Running
from tests.support.tiny_heads import tiny_base

MOST_TO_REFUSE = 0.1
"""Seconds."""


class Asking:
    """Requests of sizes in turn, and what came of them."""

    def __init__(self, url: str, sizes: list[int]) -> None:
        self.url, self.rows = f"{url}/rerank", list[tuple[int, float]]()
        bodies = [json.dumps(asked(seed, size)).encode() for seed, size in enumerate(sizes * 8)]
        self._bodies = itertools.cycle(bodies)
        self.http = httpx2.AsyncClient(timeout=None, limits=httpx2.Limits(max_connections=None))

    async def one(self) -> None:
        """Ask once."""
        begun = time.monotonic()
        reply = await self.http.post(self.url, content=next(self._bodies))
        self.rows.append((reply.status_code, time.monotonic() - begun))

    async def closed(self, clients: int, seconds: float) -> float:
        """How many are answered in a second, of so many clients that ask one after the other."""
        end, begun, before = time.monotonic() + seconds, time.monotonic(), len(self.rows)

        async def client() -> None:
            while time.monotonic() < end:
                await self.one()

        await asyncio.gather(*(client() for _ in range(clients)))
        return (len(self.rows) - before) / (time.monotonic() - begun)

    async def opened(self, rate: float, seconds: float) -> None:
        """Ask so many times a second, at random moments."""
        drawn, end, running = random.Random(5), time.monotonic() + seconds, []
        due = time.monotonic()
        while (due := due + drawn.expovariate(rate)) < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            running.append(asyncio.create_task(self.one()))
        await asyncio.gather(*running)


async def measured(running: Running, options: argparse.Namespace) -> int:
    """Measure, print, and tell what is at fault."""
    asking = Asking(running.url, options.documents)
    await asking.closed(2, 2)
    capacity = await asking.closed(8, options.seconds / 2)
    asking.rows.clear()
    before = len(running.lines())
    await asking.opened(options.times * capacity, options.seconds)
    lines = [line for line in running.lines()[before:] if line["route"] == "/rerank"]
    row = {
        "answered_s_alone": round(capacity, 2),
        "asked_s": round(options.times * capacity, 2),
        "requests": len(lines),
        **{
            f"status_{status}": told(lines, asking.rows, status)
            for status in sorted({line["status"] for line in lines})
        },
    }
    print(json.dumps(row))
    late = [line for line in lines if line["status"] == 200 and line["seconds"] > options.timeout]
    slow = [line for line in lines if line["status"] in (429, 503) and line["seconds"] > MOST_TO_REFUSE]
    other = [line for line in lines if line["status"] not in (200, 429, 503)]
    print(json.dumps({"late": len(late), "refused_slowly": len(slow), "neither": len(other)}))
    return int(bool(late or slow or other))


def told(lines: list[dict[str, Any]], rows: list[tuple[int, float]], status: int) -> dict[str, Any]:
    """How many there were, and the seconds by the server's log and by the client."""
    own = [line["seconds"] for line in lines if line["status"] == status]
    client = [seconds for found, seconds in rows if found == status]
    return {"count": len(own), "server": waits(own), "most": max(own), "client": waits(client)}


def main() -> int:
    """Start a server and ask it for too much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--times", type=float, default=4)
    parser.add_argument("--timeout", type=float, default=10)
    parser.add_argument("--documents", type=lambda text: [int(part) for part in text.split(",")], default=[1, 4, 16])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or str(tiny_base(Path(folder) / "tiny", family="chatml"))
        running = Running(model, Path(folder), "--limits", f"timeout={options.timeout}")
        try:
            return asyncio.run(measured(running, options))
        finally:
            running.end()


if __name__ == "__main__":
    sys.exit(main())
