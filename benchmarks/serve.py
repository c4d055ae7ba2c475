"""What `interank serve` serves: documents a second and waits at 1, 8 and 32 clients, beside vLLM and one at a time.

python benchmarks/serve.py MODEL [--clients 1,8,32] [--seconds 20] [--rounds 5] [--documents 10] [--step-tokens N]
    [--against vllm|URL] [--json FILE]

A server is started on MODEL. Each client asks for rankings of so many documents, one request after the other, of texts
made from a seed. "One at a time" is `serve_alone.py`, a service without a scheduler: FastAPI in front of a `Reranker`,
behind a lock, asked by as many clients. With `--against` the same model, a merged judge, on `vllm serve`
(http://HOST:PORT/v1, or `vllm`, which starts one in float32) is asked for the labels' log-probabilities through
/v1/completions, by as many clients, with prompts of interank: a request a ranking. All take turns, so many seconds
each, round by round, in the other order every second round: speeds are medians of the rounds, ratios those of the
rounds' ratios; waits are of the requests of all rounds.
Before anything is timed, the first rankings' scores are held to those of `Reranker`, relative or absolute: the server's
to 1e-5, vLLM's, which computes by other kernels, to 1e-3.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import psutil

from tests.support.serve_process import ROOT, Running, answers, free_port

_TEXT = "Bread needs yeast and steam for a crust; flour, salt and water make the dough that heat and gas let rise."
ALONE, SERVER = "one at a time", "interank serve"
# Rankings whose scores are held.
_HELD = 3
WORDS = [word.strip(".,;") for word in _TEXT.split()]


def asked(seed: int, documents: int) -> dict[str, Any]:
    """A query and its documents of 60 to 180 words."""
    drawn = random.Random(seed)
    texts = [" ".join(drawn.choices(WORDS, k=drawn.randint(60, 180))) + "." for _ in range(documents)]
    return {"query": f"Why does {' '.join(drawn.choices(WORDS, k=5))}?", "documents": texts}


class Expected:
    """What `Reranker` says of the first rankings."""

    def __init__(self, model: str, documents: int) -> None:
        from interank import Reranker

        self._reranker, self._documents = Reranker(model), documents
        self._scores = {seed: self._said(seed) for seed in range(_HELD)}

    def _said(self, seed: int) -> list[float]:
        body = asked(seed, self._documents)
        said = {int(item.doc_id): item.score for item in self._reranker.rank(body["query"], body["documents"])}
        return [said[place] for place in range(self._documents)]

    def hold(self, what: str, scores: Callable[[int], list[float]], most: float) -> dict[str, Any]:
        """How far the scores of rankings are from these; ends where that is too far."""
        pairs = [pair for seed, own in self._scores.items() for pair in zip(scores(seed), own, strict=True)]
        worst = max(abs(found - own) / max(1.0, abs(own)) for found, own in pairs)
        if not worst <= most:
            raise SystemExit(
                f"{what} says other scores than Reranker: they differ by {worst:.2g}, more than {most:.0e}"
            )
        return {"what": f"{what} beside Reranker", "scores": len(pairs), "difference": worst}


def processor(pid: int) -> Callable[[], float]:
    """Tells the seconds of a processor that a process has used, which others on the machine do not change much."""
    times = psutil.Process(pid).cpu_times
    return lambda: times().user + times().system


@dataclass
class Side:
    """One of those that are measured, and what was measured of it at one number of clients."""

    name: str
    ask: Callable[[int], object]
    """Ranks the documents of a seed."""
    processor: Callable[[], float] | None = None
    """The processor's seconds used so far."""
    speeds: list[float] = field(default_factory=list)
    """Documents a second of each round."""
    took: list[float] = field(default_factory=list)
    """Seconds of each request."""
    used: float = 0.0

    def measure(self, clients: int, seconds: float, documents: int, first: int) -> None:
        """A round: so many clients ask one request after the other, until the seconds have passed."""
        took: list[float] = []
        end, before = time.monotonic() + seconds, self.processor() if self.processor else 0.0

        def client(number: int) -> None:
            turn = first
            while time.monotonic() < end:
                begun = time.monotonic()
                self.ask(number * 10_000 + turn)
                took.append(time.monotonic() - begun)
                turn += 1

        begun = time.monotonic()
        with ThreadPoolExecutor(clients) as pool:
            for done in [pool.submit(client, number) for number in range(clients)]:
                done.result()
        self.speeds.append(len(took) * documents / (time.monotonic() - begun))
        self.took += took
        self.used += self.processor() - before if self.processor else 0.0

    def row(self, documents: int) -> dict[str, Any]:
        """What is told of all rounds."""
        speeds = sorted(self.speeds)
        row = {
            "requests": len(self.took),
            "documents_s": round(statistics.median(speeds), 2),
            "documents_s_range": [round(speeds[0], 2), round(speeds[-1], 2)],
        }
        if self.processor:
            row["processor_s_a_document"] = round(self.used / (len(self.took) * documents), 4)
        return row | waits(self.took)


def compared(sides: Sequence[Side], clients: int, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Each side's figures at so many clients, and the ratio of the server's speed to each other's."""
    for each in sides:
        each.speeds, each.took, each.used = [], [], 0.0
    for turn in range(options.rounds):
        for side in sides if turn % 2 == 0 else reversed(sides):
            side.measure(clients, options.seconds, options.documents, 100 * turn)
    server = next(side for side in sides if side.name == SERVER)
    for side in sides:
        row = {"what": side.name, "clients": clients, **side.row(options.documents)}
        if side is not server:
            ratios = sorted(ours / theirs for ours, theirs in zip(server.speeds, side.speeds, strict=True))
            row["server_is_times_as_fast"] = round(statistics.median(ratios), 3)
            row["ratios"] = [round(ratio, 3) for ratio in ratios]
        yield row


def waits(took: Sequence[float]) -> dict[str, float]:
    """The median of what was measured, and of the percentiles 95 and 99 those above which something was."""
    if not took:
        return {}
    cuts = statistics.quantiles(took, n=100, method="inclusive") if len(took) > 1 else [*took] * 99
    return {f"p{p}": round(cuts[p - 1], 3) for p in (50, 95, 99) if p == 50 or len(took) * (100 - p) >= 100}


class Asking:
    """Asks a server at an address for rankings of a number of documents."""

    def __init__(self, url: str, documents: int) -> None:
        self.url, self._documents = url, documents
        self._http = httpx2.Client(timeout=None, limits=httpx2.Limits(max_connections=64))

    def reply(self, seed: int, documents: int | None = None) -> httpx2.Response:
        """The reply to a seed's request."""
        body = asked(seed, documents or self._documents)
        return self._http.post(f"{self.url}/rerank", json=body).raise_for_status()

    def scores(self, seed: int) -> list[float]:
        """The scores of a seed's documents."""
        said = {item["index"]: item["raw_score"] for item in self.reply(seed).json()["results"]}
        return [said[place] for place in range(self._documents)]


class Server(Asking):
    """`interank serve` of the model."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options, self._folder = options, folder
        step = ("--step-tokens", str(options.step_tokens)) if options.step_tokens else ()
        self._settings = ("--quiet", "--limits", "wait_seconds=100000,timeout=100000", *step)
        self.running = Running(options.model, folder, *self._settings)
        super().__init__(self.running.url, options.documents)

    def waited(self, seed: int, documents: int) -> float:
        """The seconds that a request waited for its first step."""
        return float(self.reply(seed, documents).headers["x-queue-time"]) / 1000

    def killed_and_started(self) -> float:
        """The seconds from a start after `kill -9` until it is ready."""
        self.running.end()
        self.running = Running(self._options.model, self._folder, *self._settings, port=self.running.port)
        return self.running.seconds


def beside(ask: Callable[[int, int], float], metrics: str) -> dict[str, Any]:
    """The most that one document takes beside 200, and waits for its step; and the longest step."""

    def seconds() -> tuple[float, float]:
        """Of a request of one document, and those of it that it waited for its step."""
        begun = time.monotonic()
        waited = ask(1, 1)
        return time.monotonic() - begun, waited

    def steps() -> tuple[float, float]:
        lines = dict(line.rsplit(" ", 1) for line in httpx2.get(metrics).text.splitlines() if not line.startswith("#"))
        names = 'interank_step_seconds_sum{kind="score"}', 'interank_step_seconds_count{kind="score"}'
        return float(lines[names[0]]), float(lines[names[1]])

    alone, _ = min(seconds() for _ in range(3))
    ended = [steps()]
    large = threading.Thread(target=ask, args=(2, 200))
    large.start()

    def watch() -> None:
        while large.is_alive():
            if (now := steps())[1] > ended[-1][1]:
                ended.append(now)
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    time.sleep(1)
    found = []
    while large.is_alive():
        found.append(seconds())
    # The last one may have been answered when the large one was.
    beside = found[:-1]
    watcher.join()
    took = [(after[0] - before[0]) / (after[1] - before[1]) for before, after in pairwise(ended)]
    row: dict[str, Any] = {
        "what": "one document beside 200",
        "alone_s": round(alone, 3),
        "requests": len(beside),
        "longest_step_s": round(max(took), 3),
    }
    if beside:
        whole, waited = zip(*beside, strict=True)
        row |= {"beside_s": round(max(whole), 3), "waited_s": round(max(waited), 3)}
    return row


@contextmanager
def ready(url: str, command: Sequence[str], environment: Mapping[str, str], patience: float = 600.0) -> Iterator[int]:
    """A process while it answers at the address: its number."""
    process = subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + patience
        while not answers(url):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{' '.join(command[:3])} did not start; what it said is above")
            time.sleep(0.5)
        yield process.pid
    finally:
        # With what it started.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def started_vllm(model: str) -> Iterator[str]:
    """A `vllm serve` of the model while it is asked: where."""
    from interank.tasks.sources import find_source

    port = free_port()
    arguments = ["serve", str(find_source(model).files.folder), "--dtype", "float32", "--enforce-eager"]
    arguments += ["--uvicorn-log-level", "warning", "--host", "127.0.0.1", "--port", str(port)]
    settings = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_KVCACHE_SPACE": "2"}
    settings |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    url = f"http://127.0.0.1:{port}"
    with ready(f"{url}/health", ["-m", "tests.support.vllm_command", *arguments], settings):
        yield f"{url}/v1"


def by_vllm(model: str, documents: int, url: str) -> Callable[[int], list[float]]:
    """The scores of a seed's documents by `vllm serve`: label log-probabilities through /v1/completions."""
    from interank.engines.openai import labels_in
    from interank.judging import score
    from interank.tasks.judge.asking import LABEL_ROOM
    from interank.tasks.judge.ranker import judge_encoder
    from interank.tasks.sources import find_source
    from interank.types import Document, Query

    encoder = judge_encoder(find_source(model))
    http = httpx2.Client(timeout=None, limits=httpx2.Limits(max_connections=64))
    lock = threading.Lock()
    name = http.get(f"{url}/models").json()["data"][0]["id"]
    labels = list(encoder.label_ids)

    def ask(seed: int) -> list[float]:
        body = asked(seed, documents)
        with lock:
            prompts = [
                encoder.prompt(Query("q", body["query"]), Document(str(n), text), answer_tokens=LABEL_ROOM)
                for n, text in enumerate(body["documents"])
            ]
        ids = [list(prompt.then(encoder.label_lead).ids) for prompt in prompts]
        request = {"model": name, "prompt": ids, "max_tokens": 1, "temperature": 0, "logprobs": len(labels)}
        request |= {"logprob_token_ids": labels, "return_tokens_as_token_ids": True}
        reply = http.post(f"{url}/completions", json=request).raise_for_status().json()
        choices = sorted(reply["choices"], key=lambda choice: int(choice["index"]))
        return [score(labels_in(choice, labels).logits) for choice in choices]

    return ask


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--clients", type=lambda text: [int(part) for part in text.split(",")], default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=20, help="of a side in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--documents", type=int, default=10)
    parser.add_argument("--step-tokens", type=int, help="of the server; its own default where not given")
    parser.add_argument("--against", metavar="vllm|URL", help="`vllm serve` of the same model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    rows = []
    for row in figures(options):
        print(json.dumps(row), flush=True)
        rows.append(row)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


def figures(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Rows of what was measured."""
    expected = Expected(options.model, options.documents)
    with ExitStack() as stack:
        server = Server(options, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(lambda: server.running.end())
        yield expected.hold(SERVER, server.scores, 1e-5)
        port = free_port()
        command = [str(ROOT / "benchmarks" / "serve_alone.py"), options.model, str(port)]
        pid = stack.enter_context(ready(f"http://127.0.0.1:{port}/health", command, {}))
        alone = Asking(f"http://127.0.0.1:{port}", options.documents)
        yield expected.hold(ALONE, alone.scores, 1e-5)
        sides = [
            Side(ALONE, alone.scores, processor(pid)),
            Side(SERVER, server.scores, processor(server.running.process.pid)),
        ]
        if options.against:
            start = options.against == "vllm"
            url = stack.enter_context(started_vllm(options.model)) if start else options.against
            scores = by_vllm(options.model, options.documents, url)
            yield expected.hold("vllm serve", scores, 1e-3)
            sides.append(Side("vllm serve", scores))
        for clients in options.clients:
            yield from compared(sides, clients, options)
        yield beside(server.waited, f"{server.url}/metrics")
        seconds = server.killed_and_started()
        yield {"what": "killed with -9 and started again", "ready_s": round(seconds, 1)}


if __name__ == "__main__":
    main()
