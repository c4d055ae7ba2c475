"""Shards on Ray: a worker, the driver or both are killed; nothing is lost, and what was in flight is asked again."""

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


@pytest.mark.parametrize(
    ("victims", "most"),
    [
        # Each of the two workers has half of what may be in flight, and the driver's end is that of both.
        (("worker",), IN_FLIGHT // 2),
        (("driver",), IN_FLIGHT),
        (("worker", "driver"), IN_FLIGHT // 2 + IN_FLIGHT),
    ],
    ids=["worker", "driver", "worker then driver"],
)
def test_a_kill_loses_nothing_and_repeats_at_most_what_was_in_flight(
    victims: tuple[str, ...], most: int, tmp_path: Path
) -> None:
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
        said = tmp_path / "said"
        with said.open("w") as file, started(line, stderr=file) as driver:
            until(lambda: teacher.times >= 15)
            if "worker" in victims:
                until(lambda: bool(judging(driver)))
                judging(driver)[0].kill()
            before = teacher.times
            if "driver" in victims:
                until(lambda: teacher.times >= before + 25)
                killed(driver)
            else:
                ended(driver, said)
        at_end = teacher.times
        if "driver" in victims:
            assert at_end < 100, "the driver was killed in the middle"
            with said.open("w") as file, started([*line, "--resume"], stderr=file) as driver:
                ended(driver, said)
        repeats = teacher.times - len(teacher.asked)
        print(f"{teacher.times} requests, {repeats} repeats")
        assert repeats <= most
        whole = generate.run(load(recipe, pairs), tmp_path / "whole")
        assert digests(out) == digests(whole.path)


def ended(driver: subprocess.Popen[Any], said: Path) -> None:
    driver.wait(PATIENCE)
    assert driver.returncode == 0, said.read_text()


def load(recipe: Path, pairs: Path) -> GenerateRecipe:
    loaded = load_recipe(recipe, [f"pairs={pairs}"])
    assert isinstance(loaded, GenerateRecipe)
    return loaded
