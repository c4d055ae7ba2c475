"""What a command that waits for shards shows of them: pairs, time left, and money of what it will be."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from interank.artifact import Workplace, create
from interank.outputs import Partial
from interank.recipe import GenerateRecipe, load_recipe
from interank.stages.judging_progress import Bar, tell
from interank.stages.parts import PARTS
from interank.teacher.budget import Spent


def artifact(out: Path, kind: str, counts: dict[str, int], cost: dict[str, int] | None = None) -> Path:
    place = create(out, kind, recipe={}, inputs={})  # type: ignore[arg-type]
    assert isinstance(place, Workplace)
    if cost:
        place.write_json("cost.json", cost)
    return place.finish(seed=0, counts=counts, notes={}).path


def test_the_bar_counts_finished_running_and_waiting_shards_with_time_and_money(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "interank")
    pairs = artifact(tmp_path / "pairs", "pairs", {"pairs": 90})
    finished = {"judgments": 26, "rejected": 3, "unanswered": 1}
    done = artifact(tmp_path / "1", "judgments", finished, {"tokens_read": 30_000, "tokens_written": 3_000})
    running = tmp_path / "2"
    Partial(running).work.mkdir(parents=True)
    tell(Partial(running).work, 15, 30, Spent(15_000, 1_500, 1.0))
    recipe = load_recipe("generate/hosted", [f"pairs={pairs}", "teacher.price={read: 1.0, written: 10.0}"])
    assert isinstance(recipe, GenerateRecipe)
    # The third is judged in parts, of which none has begun.
    (Partial(tmp_path / "3").work / PARTS).mkdir(parents=True)
    with Bar(recipe, [done, running, tmp_path / "3"]) as bar:
        # 45,000 tokens read and 4,500 written of half the pairs.
        assert (bar._bar.n, bar._bar.total) == (45, 90)
        assert "0.09 of about 0.18 dollars, 49500 tokens" in bar._bar.postfix
        tell(Partial(running).work, 30, 30, Spent(30_000, 3_000, 2.0))
        bar.look()
        assert bar._bar.n == 60
        parts = Partial(tmp_path / "3").work / PARTS
        artifact(
            parts / "00001", "shard", {**finished, "judgments": 6}, {"tokens_read": 10_000, "tokens_written": 1_000}
        )
        Partial(parts / "00002").work.mkdir(parents=True)
        tell(Partial(parts / "00002").work, 2, 10, Spent(2_000, 200, 1.0))
        bar.look()
        assert (bar._bar.n, bar._bar.total) == (72, 90)
        assert "79200 tokens" in bar._bar.postfix
    shown = capsys.readouterr().err
    assert "72/90" in shown
    assert "0.14 of about 0.18 dollars" in shown
    # The time so far, and the time left at this pace.
    assert re.search(r"72/90 \[\d\d:\d\d<\d\d:\d\d", shown)
