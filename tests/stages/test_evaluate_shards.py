"""Ranked in shards of queries and joined: the bytes of a whole evaluation, without ranking anything again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interank.artifact import Artifact
from interank.cli.app import main
from interank.errors import InterankError
from interank.recipe import EvaluateRecipe
from interank.shards import Shard
from interank.stages import evaluate, join, rankings
from tests.stages.test_resume import digests
from tests.support.benchmark import benchmark_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a benchmark."""
    found = tmp_path_factory.mktemp("sharded")
    benchmark_folder(found / "benchmark", queries=5, documents=5)
    return found


def recipe_of(folder: Path, **more: Any) -> EvaluateRecipe:
    told: dict[str, Any] = {"benchmark": folder / "benchmark", "depth": 4, "max_reasoning_tokens": 8}
    return EvaluateRecipe(stage="evaluate", **(told | more))


@pytest.fixture(scope="module")
def shards(folder: Path, tiny_adapter: Path) -> list[Artifact]:
    """Two shards of one evaluation."""
    recipe = recipe_of(folder, adapters=(tiny_adapter,), explain=1)
    return [evaluate.run(recipe, folder / "shards" / str(number), shard=Shard(2, number)) for number in (1, 2)]


def test_joined_shards_are_the_whole_evaluation_to_the_byte(
    folder: Path, tiny_adapter: Path, shards: list[Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate.run(recipe_of(folder, adapters=(tiny_adapter,), explain=1), folder / "whole")

    def opened(*_: object) -> None:
        raise AssertionError("all is ranked")

    monkeypatch.setattr(rankings, "adapter_ranking", opened)
    joined = join.run([folder / "shards"], folder / "joined")
    assert digests(joined.path) == digests(whole.path)
    ranked = [next((each.path / "rankings").iterdir()).read_text("utf-8") for each in shards]
    told = [json.loads(line) for text in ranked for line in text.splitlines()]
    assert len({row["query_id"] for row in told}) == len(told) == 5


def test_shards_of_other_work_are_told(folder: Path, tiny_adapter: Path, shards: list[Artifact]) -> None:
    deeper = evaluate.run(recipe_of(folder, adapters=(tiny_adapter,), depth=3), folder / "deeper", shard=Shard(2, 2))
    with pytest.raises(InterankError, match="are of different recipes \\(depth and explain\\)"):
        join.run([shards[0].path, deeper.path], folder / "refused")
    with pytest.raises(InterankError, match="shards are missing: 2/2; make each by interank evaluate RECIPE --shards"):
        join.run([shards[0].path], folder / "refused")


def test_a_benchmark_that_changed_since_is_told(folder: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    benchmark_folder(tmp_path / "benchmark", queries=2, documents=3)
    recipe = recipe_of(tmp_path, adapters=(tiny_adapter,))
    for number in (1, 2):
        evaluate.run(recipe, tmp_path / "shards" / str(number), shard=Shard(2, number))
    queries = tmp_path / "benchmark" / "queries.jsonl"
    queries.write_text(queries.read_text("utf-8") + "\n", "utf-8")
    with pytest.raises(InterankError, match="benchmark changed after the shards were ranked"):
        join.run([tmp_path / "shards"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_shards_without_a_reranker_or_a_query_are_refused(folder: Path, tiny_adapter: Path) -> None:
    with pytest.raises(InterankError, match="the recipe names nothing that does"):
        evaluate.run(recipe_of(folder), folder / "none", shard=Shard(2, 1))
    with pytest.raises(InterankError, match="shard 1/9: there are 5 queries, and each shard needs one"):
        evaluate.run(recipe_of(folder, adapters=(tiny_adapter,)), folder / "none", shard=Shard(9, 1))
    assert not (folder / "none").exists()


def test_the_command_line_ranks_a_shard(
    folder: Path, tiny_adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"benchmark={folder / 'benchmark'}", f"adapters={tiny_adapter}", "depth=2"]
    for number in ("1/2", "2/2"):
        out = str(tmp_path / "shards" / number[0])
        assert main(["evaluate", "evaluate/benchmark", *given, "--shards", number, "--out", out]) == 0
    capsys.readouterr()
    assert main(["join", str(tmp_path / "shards"), "--out", str(tmp_path / "eval")]) == 0
    assert "first stage" in capsys.readouterr().out
