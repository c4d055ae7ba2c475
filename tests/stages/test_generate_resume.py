"""`kill -9` of generate at random moments, then --resume: nothing stored is asked again, the end is the same."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from interank.artifact import open_artifact
from interank.resources import resource_dir
from tests.stages.test_resume import command, digests, killed_when, partial, run
from tests.support.commands import started
from tests.support.preloaded import programs
from tests.support.stub import Answer, Stub, said, serving

DUMPS = resource_dir("data") / "stackexchange"
KILLS = 5
IN_FLIGHT = 6
MINING = "{questions: 25, documents_per_question: 4, validation_share: 0.2}"
PROMPT = "{order: grade_first, max_length: 400, max_query_tokens: 64, max_document_tokens: 64}"
LOCAL = f"""
stage: generate
decontaminate: false
mining: {MINING}
teacher: {{model: MODEL, grades: votes, max_reasoning_tokens: 80, temperature: 1.0, batch_size: 4, queries: 2}}
prompt: {PROMPT}
"""
SERVED = f"""
stage: generate
decontaminate: false
mining: {MINING}
teacher:
  model: served
  engine: openai
  server: {{urls: [URL], api: chat, in_flight: {IN_FLIGHT}}}
  samples: 3
  temperature: 1.0
  queries: 3
  query_pairs: 1
prompt: {PROMPT}
"""


def kept(out: Path) -> dict[str, str]:
    """What the work folder has stored; empty as long as there is no store."""
    path = partial(out) / "work" / "replies.sqlite"
    if not path.exists():
        return {}
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as connection:
            return dict(connection.execute("SELECT key, replies FROM replies"))
    except sqlite3.OperationalError:
        # Its first moments, in which the table is not there yet.
        return {}


def stored(out: Path, number: int) -> Callable[[], bool]:
    def reached() -> bool:
        return len(kept(out)) >= number if number else (partial(out) / "work").is_dir()

    return reached


def moments(total: int) -> list[int]:
    """How many replies are stored at each kill: at random, the first before there is any."""
    rng = random.Random(time.time_ns())
    chosen = [0, *sorted(rng.sample(range(1, total), KILLS - 1))]
    print(f"killed at {chosen} of {total} stored replies")
    return chosen


@pytest.mark.slow
def test_on_transformers_the_end_is_that_of_an_uninterrupted_run(tiny_folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(LOCAL.replace("MODEL", str(tiny_folder)))
    whole, broken = tmp_path / "whole" / "out", tmp_path / "broken" / "out"
    for out in (whole, broken):
        out.parent.mkdir()
    arguments = [f"dumps={DUMPS}"]
    run(command("generate", recipe, whole, *arguments))
    # 25 questions in batches of 4, and 100 pairs.
    for place, number in enumerate(moments(7 + 25 - 3)):
        before = kept(broken)
        flags = ["--resume"] if place else []
        killed_when([*command("generate", recipe, broken, *arguments), *flags], stored(broken, number))
        assert before.items() <= kept(broken).items()
    before = kept(broken)
    run([*command("generate", recipe, broken, *arguments), "--resume"])
    assert digests(broken) == digests(whole)
    last = json.loads((broken / "cost.json").read_text("utf-8"))["last_run"]
    replayed = sum(len(json.loads(replies)) for replies in before.values())
    assert (last["replayed"], last["sent"]) == (replayed, 125 - replayed)


class MoodyTeacher:
    """Never says the same twice, so that asking again would show."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, number: int, body: dict[str, Any]) -> Answer:
        question = body["messages"][0]["content"]
        with self._lock:
            self.asked[json.dumps([question, body["seed"]])] += 1
        time.sleep(0.004)
        if "search queries" in question:
            return said(f"1. query {number}\n2. other {number}")
        if number % 17 == 0:
            return said("I would rather not say.")
        return said(f"Relevance Label: {number % 3}\n\nReason {number}.")


@pytest.mark.slow
def test_on_servers_nothing_stored_is_asked_again(tmp_path: Path) -> None:
    teacher = MoodyTeacher()
    stub = Stub(teacher)
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    arguments = [f"dumps={DUMPS}", f"cache={tmp_path / 'cache'}"]
    with serving(stub):
        recipe.write_text(SERVED.replace("URL", stub.url))
        for place, number in enumerate(moments(500)):
            before = kept(out)
            flags = ["--resume"] if place else []
            killed_when([*command("generate", recipe, out, *arguments), *flags], stored(out, number))
            assert before.items() <= kept(out).items(), "a stored reply was lost or replaced"
        run([*command("generate", recipe, out, *arguments), "--resume"])
        sent = sum(teacher.asked.values())
        repeats = sent - len(teacher.asked)
        print(f"{sent} requests, {repeats} of them repeats after {KILLS} kills")
        assert repeats <= KILLS * IN_FLIGHT
        # Each question once for search queries; each pair, and each with a search query, three times.
        assert len(teacher.asked) >= 25 + 3 * 100

        # Whoever is given the recorded replies comes to the same end, without a server.
        again = tmp_path / "again"
        run(command("generate", recipe, again, *arguments))
        assert sum(teacher.asked.values()) == sent
    assert digests(again) == digests(out)
    rejected = [json.loads(line) for line in (out / "rejected.jsonl").read_text("utf-8").splitlines()]
    counts = json.loads((out / "manifest.json").read_text("utf-8"))["counts"]
    assert counts["judgments"] + len(rejected) == 200


@pytest.mark.slow
def test_two_commands_at_once_share_a_cache(tmp_path: Path) -> None:
    """With one output each; what one has asked and stored the other need not ask."""
    teacher = MoodyTeacher()
    stub = Stub(teacher)
    recipe, outs = tmp_path / "recipe.yaml", [tmp_path / name / "out" for name in ("one", "two")]
    arguments = [f"dumps={DUMPS}", f"cache={tmp_path / 'cache'}"]
    with serving(stub):
        text = SERVED.replace("25", "8").replace("samples: 3", "samples: 1").replace("URL", stub.url)
        recipe.write_text(text)
        for out in outs:
            out.parent.mkdir()
        with ExitStack() as both:
            commands = [[programs() / "interank", *command("generate", recipe, out, *arguments)[3:]] for out in outs]
            for process in [both.enter_context(started(one, stderr=subprocess.PIPE)) for one in commands]:
                _, error = process.communicate(timeout=300)
                assert process.returncode == 0, error.decode()
    for out in outs:
        assert not partial(out).exists()
        assert open_artifact(out).manifest["counts"]["unanswered"] == 0
    with sqlite3.connect(tmp_path / "cache" / "replies.sqlite") as connection:
        assert connection.execute("SELECT COUNT(*) FROM replies").fetchone()[0] == len(teacher.asked)
