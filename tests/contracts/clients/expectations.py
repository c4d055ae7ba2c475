"""What clients are held to: `interank serve` on a tiny judge, what `Reranker` says, and how refusals come about."""

from __future__ import annotations

import json
import math
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.contracts.texts import QUERY, TEXTS

Why = Literal["key", "too_large", "empty", "overloaded", "unavailable", "late"]
MODEL = "judge"
# Haystack's ranker for Cohere leaves out what is beyond a thousand.
_MOST = 900
_LARGE = {"query": QUERY, "documents": [f"{n}: {' '.join(TEXTS) * 16}" for n in range(_MOST)]}


class Refused(NamedTuple):
    """A request that is to be refused, and what its client is to hear."""

    url: str
    key: str
    query: str
    texts: list[str]
    status: int
    words: str


class Answered(NamedTuple):
    """Requests of one route that ended alike."""

    route: str
    mode: str
    status: int
    """How it ended, which of a stream comes after its 200."""


def counted(metrics: str) -> Counter[Answered]:
    """How many requests a server's metrics count, by how they ended."""
    (family,) = [each for each in text_string_to_metric_families(metrics) if each.name == "interank_requests"]
    totals = [each for each in family.samples if each.name == "interank_requests_total"]
    of = [Answered(each.labels["route"], each.labels["mode"], int(each.labels["status"])) for each in totals]
    return Counter({key: int(each.value) for key, each in zip(of, totals, strict=True)})


@dataclass(frozen=True)
class Served:
    """Servers that are ready, of the same model."""

    url: str
    late: str
    """One whose answers are always too late."""
    keys: list[str]
    """Of the first; one key's requests fill its share at once, and two are under way at the most."""
    scores: list[float]
    """What `Reranker` says of each text."""

    @property
    def best(self) -> list[int]:
        """Places of the texts, best first."""
        return sorted(range(len(self.scores)), key=lambda place: -self.scores[place])

    @property
    def relevance(self) -> list[float]:
        """What is told of each text from 0 to 1, best first."""
        return [1 / (1 + math.exp(-self.scores[place])) for place in self.best]

    @contextmanager
    def refusing(self, why: Why) -> Iterator[Refused]:
        """A request that is refused as long as this lasts."""
        url, (key, other) = self.url, self.keys
        if why == "key":
            yield Refused(url, "wrong", QUERY, TEXTS, 401, "give one of this server's keys")
        elif why == "too_large":
            yield Refused(url, key, QUERY, ["a"] * (_MOST + 1), 413, f"found {_MOST + 1} documents")
        elif why == "empty":
            yield Refused(url, key, " ", TEXTS, 422, "found an empty query")
        elif why == "late":
            yield Refused(self.late, key, QUERY, TEXTS, 504, "the answer was not ready")
        elif why == "overloaded":
            with self._occupied(key):
                yield Refused(url, key, QUERY, TEXTS, 429, "requests of this key wait")
        else:
            with self._occupied(other, key):
                yield Refused(url, key, QUERY, TEXTS, 503, "too many requests are under way")

    @contextmanager
    def _occupied(self, *keys: str) -> Iterator[None]:
        """Large requests are under way, one of each key."""
        host, port = self.url.removeprefix("http://").split(":")
        body = json.dumps(_LARGE)
        with ExitStack() as stack:
            for count, key in enumerate(keys, 1):
                client = stack.enter_context(socket.create_connection((host, int(port))))
                lines = ["POST /rerank HTTP/1.1", f"Host: {host}", f"X-Api-Key: {key}", f"Content-Length: {len(body)}"]
                client.sendall("\r\n".join([*lines, "", body]).encode())
                self._await(count)
            yield
        # Who leaves is heard at the next step.
        self._await(0)

    def _await(self, running: int) -> None:
        begun = time.monotonic()
        while self._running() != running:
            assert time.monotonic() - begun < 60, f"{self._running()} requests are under way, not {running}"
            time.sleep(0.02)

    def metrics(self) -> str:
        """What the first server tells of itself."""
        with urlopen(Request(f"{self.url}/metrics", headers={"X-Api-Key": self.keys[0]})) as reply:
            return str(reply.read().decode())

    def _running(self) -> int:
        (told,) = [line for line in self.metrics().splitlines() if line.startswith("interank_requests_running ")]
        return int(float(told.split()[1]))


@contextmanager
def serving() -> Iterator[Served]:
    """Start the servers, each a process of its own."""
    from interank import Reranker
    from tests.support.serve_process import Running
    from tests.support.tiny import strong_adapter

    with tempfile.TemporaryDirectory(prefix="interank-") as name, ExitStack() as stack:
        folder, keys = Path(name), ["one", "two"]
        model = strong_adapter(folder / "model")
        (folder / "keys").write_text("\n".join(keys))
        found = Reranker(model).rank(QUERY, TEXTS)
        scores = {int(item.doc_id): item.score for item in found}
        full = f"documents={_MOST},requests=2,share=1e-9,wait_seconds=1e6,timeout=1e6"
        own = Running(
            model, folder, "--name", MODEL, "--key-file", str(folder / "keys"), "--step-tokens", "512", "--limits", full
        )
        stack.callback(own.end)
        late = Running(model, folder, "--name", MODEL, "--limits", "timeout=1e-6")
        stack.callback(late.end)
        yield Served(own.url, late.url, keys, [scores[place] for place in range(len(TEXTS))])
