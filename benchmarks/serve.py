"""What `interank serve` serves: documents a second and waits at 1, 8 and 32 clients, beside one request at a time.

python benchmarks/serve.py MODEL [--clients 1,8,32] [--seconds 20] [--documents 10] [--step-tokens N]
    [--against vllm|URL]

A server is started on MODEL. Each client asks for rankings of so many documents, one request after the other, of texts
made from a seed. "One at a time" is `Reranker` in this process, request by request, on the same texts, with the server
stopped. With `--against` the same model, a merged judge, on `vllm serve` (http://HOST:PORT/v1, or `vllm`, which starts
one in float32) is asked for the labels' log-probabilities through /v1/completions, by as many clients, with prompts of
interank: a request a ranking.
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx2
import psutil

from tests.support.serve_process import ROOT, Running, answers, free_port

_TEXT = "Bread needs yeast and steam for a crust; flour, salt and water make the dough that heat and gas let rise."
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

        self.reranker, self._documents = Reranker(model), documents
        self._scores = {seed: self._said(seed) for seed in range(_HELD)}

    def _said(self, seed: int) -> list[float]:
        body = asked(seed, self._documents)
        said = {int(item.doc_id): item.score for item in self.reranker.rank(body["query"], body["documents"])}
        return [said[place] for place in range(self._documents)]

    def hold(self, what: str, scores: Callable[[int], list[float]], most: float) -> None:
        """End where the scores of a ranking are others."""
        pairs = [pair for seed, own in self._scores.items() for pair in zip(scores(seed), own, strict=True)]
        worst = max(abs(found - own) / max(1.0, abs(own)) for found, own in pairs)
        print(json.dumps({"what": f"{what} beside Reranker", "scores": len(pairs), "difference": worst}))
        if not worst <= most:
            raise SystemExit(
                f"{what} says other scores than Reranker: they differ by {worst:.2g}, more than {most:.0e}"
            )


def processor(pid: int) -> Callable[[], float]:
    """Tells the seconds of a processor that a process has used, which others on the machine do not change much."""
    times = psutil.Process(pid).cpu_times
    return lambda: times().user + times().system


def measured(
    clients: int, seconds: float, documents: int, ask: Callable[[int], object], used: Callable[[], float] | None = None
) -> dict[str, float]:
    """Documents a second, and how long requests took, of so many clients; `used` tells the processor's seconds."""
    took: list[float] = []
    end, before = time.monotonic() + seconds, used() if used else 0.0

    def client(number: int) -> None:
        turn = 0
        while time.monotonic() < end:
            begun = time.monotonic()
            ask(number * 10_000 + turn)
            took.append(time.monotonic() - begun)
            turn += 1

    begun = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(client, number) for number in range(clients)]:
            done.result()
    whole = time.monotonic() - begun
    return {
        "clients": clients,
        "requests": len(took),
        "documents_s": round(len(took) * documents / whole, 2),
        **waits(took),
        **({"processor_s_a_document": round((used() - before) / max(1, len(took) * documents), 4)} if used else {}),
    }


def waits(took: Sequence[float]) -> dict[str, float]:
    """The median of what was measured, and of the percentiles 95 and 99 those above which something was."""
    if not took:
        return {}
    cuts = statistics.quantiles(took, n=100, method="inclusive") if len(took) > 1 else [*took] * 99
    return {f"p{p}": round(cuts[p - 1], 3) for p in (50, 95, 99) if p == 50 or len(took) * (100 - p) >= 100}


def served(options: argparse.Namespace, expected: Expected) -> None:
    """The server at each number of clients, and a small request beside a large one."""
    with tempfile.TemporaryDirectory() as folder:
        step = ("--step-tokens", str(options.step_tokens)) if options.step_tokens else ()
        limits = "wait_seconds=100000,timeout=100000"
        running = Running(options.model, Path(folder), "--quiet", "--limits", limits, *step)
        http = httpx2.Client(timeout=None, limits=httpx2.Limits(max_connections=64))

        def ask(seed: int, documents: int = options.documents) -> float:
            """The seconds that it waited for its first step."""
            reply = http.post(f"{running.url}/rerank", json=asked(seed, documents)).raise_for_status()
            return float(reply.headers["x-queue-time"]) / 1000

        def scores(seed: int) -> list[float]:
            reply = http.post(f"{running.url}/rerank", json=asked(seed, options.documents)).raise_for_status().json()
            said = {item["index"]: item["raw_score"] for item in reply["results"]}
            return [said[place] for place in range(options.documents)]

        try:
            expected.hold("interank serve", scores, 1e-5)
            used = processor(running.process.pid)
            for clients in options.clients:
                row = measured(clients, options.seconds, options.documents, ask, used)
                print(json.dumps({"what": "interank serve"} | row))
            print(json.dumps(beside(ask, f"{running.url}/metrics")))
            running.end()
            running = Running(options.model, Path(folder), "--quiet", port=running.port)
            print(json.dumps({"what": "killed with -9 and started again", "ready_s": round(running.seconds, 1)}))
        finally:
            running.end()


def beside(ask: Callable[[int, int], float], metrics: str) -> dict[str, Any]:
    """The most that one document takes beside 200, and waits for its step; and a step's mean."""

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
    before = steps()
    large = threading.Thread(target=ask, args=(2, 200))
    large.start()
    time.sleep(1)
    found = []
    while large.is_alive():
        found.append(seconds())
    # The last one may have been answered when the large one was.
    beside = found[:-1]
    after = steps()
    step = (after[0] - before[0]) / max(1.0, after[1] - before[1])
    row: dict[str, Any] = {
        "what": "one document beside 200",
        "alone_s": round(alone, 3),
        "requests": len(beside),
        "step_s": round(step, 3),
    }
    if beside:
        whole, waited = zip(*beside, strict=True)
        row |= {"beside_s": round(max(whole), 3), "waited_s": round(max(waited), 3)}
    return row


def one_at_a_time(options: argparse.Namespace, expected: Expected) -> None:
    """`Reranker`, request by request."""

    def ask(seed: int) -> None:
        body = asked(seed, options.documents)
        expected.reranker.rank(body["query"], body["documents"])

    ask(0)
    own = processor(os.getpid())
    print(json.dumps({"what": "one at a time"} | measured(1, options.seconds, options.documents, ask, own)))


@contextmanager
def started_vllm(model: str, patience: float = 600.0) -> Iterator[str]:
    """A `vllm serve` of the model while it is asked: where."""
    from interank.tasks.sources import find_source

    port = free_port()
    arguments = [
        "serve",
        str(find_source(model).files.folder),
        "--dtype",
        "float32",
        "--enforce-eager",
        "--uvicorn-log-level",
        "warning",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    settings = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_KVCACHE_SPACE": "2"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.vllm_command", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "VLLM_CPU_OMP_THREADS_BIND": "nobind"} | settings,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + patience
        while not answers(f"http://127.0.0.1:{port}/health"):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("vllm serve did not start; what it said is above")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        # With the engine that it started.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def vllm(options: argparse.Namespace, expected: Expected) -> None:
    """The same rankings by `vllm serve`, label log-probabilities through /v1/completions."""
    from interank.engines.openai import labels_in
    from interank.judging import score
    from interank.tasks.judge.asking import LABEL_ROOM
    from interank.tasks.judge.ranker import judge_encoder
    from interank.tasks.sources import find_source
    from interank.types import Document, Query

    encoder = judge_encoder(find_source(options.model))
    http = httpx2.Client(timeout=None, limits=httpx2.Limits(max_connections=64))
    lock = threading.Lock()
    name = http.get(f"{options.against}/models").json()["data"][0]["id"]
    labels = list(encoder.label_ids)

    def ask(seed: int) -> list[float]:
        body = asked(seed, options.documents)
        with lock:
            prompts = [
                encoder.prompt(Query("q", body["query"]), Document(str(n), text), answer_tokens=LABEL_ROOM)
                for n, text in enumerate(body["documents"])
            ]
        ids = [list(prompt.then(encoder.label_lead).ids) for prompt in prompts]
        request = {"model": name, "prompt": ids, "max_tokens": 1, "temperature": 0, "logprobs": len(labels)}
        request |= {"logprob_token_ids": labels, "return_tokens_as_token_ids": True}
        reply = http.post(f"{options.against}/completions", json=request).raise_for_status().json()
        choices = sorted(reply["choices"], key=lambda choice: int(choice["index"]))
        return [score(labels_in(choice, labels).logits) for choice in choices]

    expected.hold("vllm serve", ask, 1e-3)
    for clients in options.clients:
        row = measured(clients, options.seconds, options.documents, ask)
        print(json.dumps({"what": "vllm serve"} | row))


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--clients", type=lambda text: [int(part) for part in text.split(",")], default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--documents", type=int, default=10)
    parser.add_argument("--step-tokens", type=int, help="of the server; its own default where not given")
    parser.add_argument(
        "--against", metavar="vllm|URL", help="`vllm serve` of the same model; nothing else is measured"
    )
    options = parser.parse_args()
    expected = Expected(options.model, options.documents)
    if options.against:
        there = started_vllm(options.model) if options.against == "vllm" else nullcontext(options.against)
        with there as options.against:
            vllm(options, expected)
        return
    one_at_a_time(options, expected)
    served(options, expected)


if __name__ == "__main__":
    main()
