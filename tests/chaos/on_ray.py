"""Shards on Ray: a worker is killed, then the driver; the end is a whole run's, and little is asked twice."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from interank.recipe import GenerateRecipe, load_recipe
from interank.stages import generate
from tests.stages.test_generate_shards import DUMPS, RECIPE, steady
from tests.stages.test_resume import digests
from tests.support.commands import command, started
from tests.support.stub import Answer, Stub, serving

pytest.importorskip("ray", reason="Ray is not installed: pip install 'interank[ray]'")

IN_FLIGHT = 8
PATIENCE = 120.0


class CountingTeacher:
    """Says the same of the same question, and counts how often it is asked."""

    def __init__(self, seconds: float) -> None:
        self.asked: Counter[str] = Counter()
        self._seconds = seconds
        self._lock = threading.Lock()

    def __call__(self, number: int, body: dict[str, Any]) -> Answer:
        with self._lock:
            self.asked[body["messages"][0]["content"]] += 1
        time.sleep(self._seconds)
        return steady(number, body)

    @property
    def times(self) -> int:
        return sum(self.asked.values())


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)


def judging(driver: subprocess.Popen[Any]) -> list[psutil.Process]:
    """The workers that have a shard."""
    found = psutil.Process(driver.pid).children(recursive=True)
    return [each for each in found if each.is_running() and "_judged" in " ".join(each.cmdline())]


def killed(driver: subprocess.Popen[Any]) -> None:
    """The driver, without warning; what it started ends by itself."""
    left = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.wait()
    _, alive = psutil.wait_procs(left, timeout=PATIENCE)
    assert not alive, "workers go on without their driver"


def test_killed_worker_and_driver_lose_nothing_and_shards_by_hand_are_the_same(tmp_path: Path) -> None:
    teacher = CountingTeacher(0.05)
    stub = Stub(teacher)
    with serving(stub):
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(RECIPE.replace("URL", stub.url).replace("queries: 3", "queries: 0").replace(": 1\n", ": 0\n"))
        loaded = load_recipe(recipe, [f"dumps={DUMPS}"])
        assert isinstance(loaded, GenerateRecipe)
        pairs = generate.run(loaded, tmp_path / "pairs", only_mine=True).path
        out = tmp_path / "out"
        line = command("generate", recipe, out, f"pairs={pairs}", "--shards", "4", "--executor", "ray")
        line += ["--workers", "2"]
        with started(line) as driver:
            until(lambda: teacher.times >= 15)
            until(lambda: bool(judging(driver)))
            judging(driver)[0].kill()
            before = teacher.times
            until(lambda: teacher.times >= before + 25)
            killed(driver)
        at_kill = teacher.times
        assert at_kill < 100, "the driver was killed in the middle"
        with started([*line, "--resume"], stderr=subprocess.PIPE) as driver:
            _, error = driver.communicate(timeout=PATIENCE)
            assert driver.returncode == 0, error.decode()
        repeats = teacher.times - len(teacher.asked)
        print(f"{teacher.times} requests, {repeats} repeats")
        # Each of the two workers has half of what may be in flight.
        assert repeats <= IN_FLIGHT // 2 + IN_FLIGHT
        whole = generate.run(load(recipe, pairs), tmp_path / "whole")
        assert digests(out) == digests(whole.path)


def load(recipe: Path, pairs: Path) -> GenerateRecipe:
    loaded = load_recipe(recipe, [f"pairs={pairs}"])
    assert isinstance(loaded, GenerateRecipe)
    return loaded
