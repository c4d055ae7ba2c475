"""What memory judging takes by the number of pairs, and a run on Ray of which a worker and the command are killed.

    python benchmarks/shards.py memory [--pairs 10000 100000] [--shard 1/10] [--json FILE]
    python benchmarks/shards.py ray [--pairs 10000] [--shards 20] [--json FILE]

`memory` judges made pairs, or a shard of them, with a teacher in the same process that answers at once, each number in
a process of its own, and tells the most that it held. `ray` judges them on two workers with a server that counts what
it is asked, kills a worker, then the command, goes on, and holds the output to that of one command for all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import yaml

from interank.artifact import Workplace, create
from interank.engines.protocol import Reply, Unit
from interank.pairs import write_pairs
from interank.recipe import GenerateRecipe, load_recipe
from interank.shards import Shard
from interank.types import Document, Pair, Query, Source

DOCUMENTS = 5
IN_FLIGHT = 32
PATIENCE = 600.0
# What no digest covers.
UNLIKE = {"cost.json", "cost.jsonl", "log.jsonl", "report.md", "report.html"}


def made_pairs(out: Path, pairs: int) -> Path:
    """An artifact of pairs, about 2.5 KB of text each."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(5000)]

    def each() -> Iterator[Pair]:
        for number in range(pairs):
            question = number // DOCUMENTS
            if number % DOCUMENTS == 0:
                query = Query(f"made.example.com/{question}", " ".join(rng.choices(words, k=120)))
            document = Document(f"made.example.com/d{number}", " ".join(rng.choices(words, k=300)))
            source = Source(
                "made.example.com", f"d{number}", f"https://made.example.com/a/{number}", "", "CC BY-SA 4.0"
            )
            origin = "accepted_answer" if number % DOCUMENTS == 0 else "random_negative"
            yield Pair(query, document, "validation" if question % 10 == 0 else "train", origin, source)

    place = create(out, "pairs", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    written = write_pairs(each(), place.folder)
    counts = {"pairs": written.pairs, "questions": written.questions}
    return place.finish(seed=0, counts=counts, notes={"sites": {}, "decontamination": None}).path


def recipe_of(folder: Path, pairs: Path, url: str) -> GenerateRecipe:
    """Judging these pairs on a server."""
    told = {
        "stage": "generate",
        "teacher": {
            "model": "made",
            "engine": "openai",
            "server": {"urls": [url], "api": "chat", "in_flight": IN_FLIGHT},
        },
        "prompt": {"order": "grade_first", "max_length": 2048, "max_query_tokens": 512, "max_document_tokens": 1024},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(told))
    loaded = load_recipe(folder / "recipe.yaml", [f"pairs={pairs}"])
    assert isinstance(loaded, GenerateRecipe)
    return loaded


def answer(content: str) -> str:
    """The same to the same question, whoever asks."""
    number = int.from_bytes(hashlib.blake2b(content.encode(), digest_size=4).digest(), "big")
    return f"Relevance Label: {number % 3}\n\nIt is {number}, which settles what was asked in one way or another."


class AtOnce:
    """A teacher that answers each request as soon as it is asked."""

    identity = "at once"
    abilities: frozenset[Any] = frozenset()
    unit_size = 1
    vocabulary = None

    def ask(self, units: Iterator[Unit]) -> Iterator[tuple[Unit, tuple[Reply, ...]]]:
        """Each unit with its replies."""
        for unit in units:
            yield unit, tuple(Reply(text=answer(str(one.prompt)), read=700, written=30) for one in unit)


def judge_at_once(folder: Path, pairs: Path, shard: str | None) -> dict[str, float]:
    """Judge pairs, or a shard of them, in this process; seconds, and the most that it held."""
    from interank.stages import annotation, generate

    notes = {"teacher": "made", "teacher_origin": "servers", "engine": "openai", "api": "chat"}
    annotation.open_teacher = lambda *_, **__: (AtOnce(), None, dict(notes))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    start, cpu = time.monotonic(), time.process_time()
    own = Shard.parse(shard) if shard else None
    made = generate.run(recipe_of(folder, pairs, "http://localhost:1/v1"), folder / "out", shard=own)
    return {
        "judgments": made.manifest["counts"]["judgments"],
        "seconds": round(time.monotonic() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "mb_before": round(before),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }


def memory(sizes: list[int], folder: Path, shard: str | None) -> dict[str, Any]:
    """The figures by number of pairs."""
    found: dict[str, Any] = {}
    for size in sizes:
        own = folder / str(size)
        own.mkdir()
        pairs = made_pairs(own / "pairs", size)
        run = [sys.executable, __file__, "judge", "--folder", str(own), "--given", str(pairs)]
        run += ["--shard", shard] if shard else []
        found[str(size)] = json.loads(subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True).stdout)
        print(size, found[str(size)], file=sys.stderr, flush=True)
    return found


class CountingServer:
    """Answers as OpenAI's server would, and counts how often it is asked what."""

    def __init__(self) -> None:
        self.asked: Counter[bytes] = Counter()
        lock, counted = threading.Lock(), self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                data = self.rfile.read(length)
                if len(data) < length:
                    return
                content = json.loads(data)["messages"][0]["content"]
                with lock:
                    counted[hashlib.blake2b(content.encode(), digest_size=8).digest()] += 1
                message = {"role": "assistant", "content": answer(content)}
                usage = {"prompt_tokens": 700, "completion_tokens": 30}
                self._send({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})

            def do_GET(self) -> None:
                self._send({"data": []})

            def _send(self, content: dict[str, Any]) -> None:
                data = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        # Of clients that were killed.
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    @property
    def times(self) -> int:
        """How often it was asked."""
        return sum(self.asked.values())


def until(reached: Callable[[], bool], driver: subprocess.Popen[bytes]) -> None:
    """Wait for it.

    Raises:
        RuntimeError: The command ended before, or it took too long.
    """
    deadline = time.monotonic() + PATIENCE
    while not reached():
        if driver.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the command ended with {driver.poll()}" if driver.poll() is not None else "too slow")
        time.sleep(0.02)


def judging(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Its workers that have a shard."""
    found = psutil.Process(driver.pid).children(recursive=True)
    return [each for each in found if each.is_running() and "_judged" in " ".join(each.cmdline())]


def on_ray(pairs: int, shards: int, folder: Path) -> dict[str, Any]:
    """Judge on two workers, kill one, then the command, and go on; what was asked twice."""
    from interank.stages import generate

    given = made_pairs(folder / "pairs", pairs)
    server = CountingServer()
    recipe = recipe_of(folder, given, server.url)
    line = [sys.executable, "-m", "interank", "generate", str(folder / "recipe.yaml"), f"pairs={given}", "--quiet"]
    line += ["--shards", str(shards), "--executor", "ray", "--workers", "2", "--out", str(folder / "out")]
    repeats: dict[str, int] = {}

    def told(moment: str) -> None:
        repeats[moment] = server.times - len(server.asked)

    start = time.monotonic()
    with subprocess.Popen(line, start_new_session=True) as driver:
        until(lambda: server.times >= pairs // 4, driver)
        until(lambda: bool(judging(driver)), driver)
        judging(driver)[0].kill()
        until(lambda: server.times >= pairs // 2, driver)
        told("worker_killed")
        left = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
    psutil.wait_procs(left, timeout=PATIENCE)
    assert server.times < pairs, "the command was killed in the middle"
    subprocess.run([*line, "--resume"], check=True)
    seconds = round(time.monotonic() - start, 1)
    told("command_killed")
    asked = server.times
    whole = generate.run(recipe, folder / "whole")
    assert digests(folder / "out") == digests(whole.path), "the output is another"
    return {
        "pairs": pairs,
        "asked": asked,
        "repeats": repeats,
        "in_flight": IN_FLIGHT,
        "seconds": seconds,
        "same": True,
    }


def digests(out: Path) -> dict[str, str]:
    """Of all that has to be the same."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in UNLIKE
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["memory", "ray", "judge"])
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000])
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--folder", type=Path, help="for the files; a temporary one by default")
    parser.add_argument("--shard", help="of memory: judge this shard alone, as 1/10")
    parser.add_argument("--given", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.what == "judge":
        print(json.dumps(judge_at_once(arguments.folder, arguments.given, arguments.shard)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        if arguments.what == "memory":
            figures = memory(arguments.pairs, folder, arguments.shard)
        else:
            figures = on_ray(arguments.pairs[0], arguments.shards, folder)
    figures |= {"load": round(os.getloadavg()[0], 2), "date": date.today().isoformat()}
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
