"""compare scores the systems of several evaluations on the same candidates, and refuses others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from interank.artifact import Artifact, open_artifact
from interank.cli.app import main
from interank.errors import ArtifactError, InputError
from interank.ir.trec import write_run
from interank.recipe import EvaluateRecipe
from interank.stages import compare, evaluate
from interank.types import Run
from tests.support.benchmark import benchmark_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("compare")
    benchmark_folder(found / "benchmark", queries=4, documents=5)
    return found


def evaluated(folder: Path, name: str, **settings: Any) -> Artifact:
    given: dict[str, Any] = {"benchmark": folder / "benchmark", "depth": 6, "measures": ("nDCG@10", "RR")}
    return evaluate.run(EvaluateRecipe(stage="evaluate", **(given | settings)), folder / name)


@pytest.fixture(scope="module")
def reranked(folder: Path, tiny_adapter: Path) -> Artifact:
    return evaluated(folder, "reranked", adapters=(tiny_adapter,), explain=2)


@pytest.fixture(scope="module")
def reversed_run(folder: Path, reranked: Artifact) -> Path:
    """The first stage turned round."""
    from interank.ir.trec import read_run

    first = read_run(reranked.path / "runs" / "first_stage.trec")
    rows = {name: [item._replace(score=-item.score) for item in reversed(first[name])] for name in first}
    path = folder / "reversed.trec"
    write_run(Run(rows, tag="reversed"), path)
    return path


@pytest.fixture(scope="module")
def stored(folder: Path, reversed_run: Path) -> Artifact:
    return evaluated(folder, "stored", runs=(reversed_run,))


def metrics(path: Path) -> dict[str, Any]:
    return dict(json.loads((path / "metrics.json").read_text("utf-8")))


def test_the_figures_of_each_evaluation_are_found_again(folder: Path, reranked: Artifact, stored: Artifact) -> None:
    out = compare.run([reranked.path, stored.path], folder / "both")
    together = metrics(out)
    assert list(together) == ["first stage", "adapter", "reversed", "random order", "perfect order"]
    for single, name in ((reranked, "adapter"), (stored, "reversed"), (stored, "perfect order")):
        alone = metrics(single.path)[name]
        for measure in ("nDCG@10", "RR"):
            assert together[name][measure]["mean"] == alone[measure]["mean"]
        assert together[name]["tasks"] == alone["tasks"]
    assert together["adapter"]["calibration"] == metrics(reranked.path)["adapter"]["calibration"]
    pairs = {(i["system"], i["against"]) for i in json.loads((out / "comparisons.json").read_text("utf-8"))}
    assert ("reversed", "adapter") in pairs
    assert (out / "rankings" / "adapter.jsonl").read_bytes() == (
        reranked.path / "rankings" / "adapter.jsonl"
    ).read_bytes()
    costs = [
        json.loads((path / "cost.json").read_text("utf-8"))["per_query"]["adapter"] for path in (reranked.path, out)
    ]
    assert costs[1] == pytest.approx(costs[0], abs=1e-3)


def test_a_comparison_can_be_compared(folder: Path, reranked: Artifact, stored: Artifact, reversed_run: Path) -> None:
    first = compare.run([reranked.path, reversed_run], folder / "first")
    again = compare.run([first, stored.path], folder / "again")
    # What ranks alike under one name is one system.
    assert metrics(again) == metrics(first)
    given = open_artifact(again).manifest["inputs"]
    assert {"adapter.adapter", "run.reversed", "evaluation.1", "evaluation.2", "benchmark"} <= set(given)


def test_other_systems_of_one_name_are_told_apart(folder: Path, stored: Artifact, reranked: Artifact) -> None:
    other = folder / "elsewhere" / "reversed.trec"
    other.parent.mkdir()
    shutil.copyfile(reranked.path / "runs" / "adapter.trec", other)
    second = evaluated(folder, "other", runs=(other,))
    out = compare.run([stored.path, second.path], folder / "names")
    assert {"stored reversed", "other reversed"} <= set(metrics(out))


def test_the_page_alone(folder: Path, reranked: Artifact, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "pages" / "one.html"
    assert main(["compare", str(reranked.path), "--out", str(out), "--quiet"]) == 0
    assert capsys.readouterr().out == f"page: {out}\n"
    assert [path.name for path in out.parent.iterdir()] == ["one.html"]
    page = out.read_text("utf-8")
    assert f"interank compare {reranked.path} --out {out}" in page
    with pytest.raises(ArtifactError, match=r"one\.html.*--overwrite"):
        compare.run([reranked.path], out)
    assert compare.run([reranked.path], out, existing="overwrite") == out


def test_other_candidates_are_refused(folder: Path, stored: Artifact) -> None:
    deeper = evaluated(folder, "deeper", depth=4)
    with pytest.raises(InputError, match=r"deeper .*benchmark .*stored "):
        compare.run([stored.path, deeper.path], folder / "refused")
    assert not (folder / "refused").exists()


def test_a_benchmark_that_was_moved_has_to_be_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "benchmark", tmp_path / "benchmark")
    alone = evaluate.run(EvaluateRecipe(stage="evaluate", benchmark=tmp_path / "benchmark"), tmp_path / "alone")
    (tmp_path / "benchmark").rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"its benchmark .*--benchmark DIR"):
        compare.run([alone.path], tmp_path / "a.html")
    assert compare.run([alone.path], tmp_path / "a.html", benchmark=tmp_path / "moved").is_file()
    (tmp_path / "moved" / "queries.jsonl").write_text('{"_id": "other", "text": "x"}\n')
    with pytest.raises(InputError):
        compare.run([alone.path], tmp_path / "b.html", benchmark=tmp_path / "moved")


def test_stored_runs_alone_have_no_candidates(reversed_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no output of evaluate"):
        compare.run([reversed_run], tmp_path / "x.html")
    with pytest.raises(InputError, match="does not exist"):
        compare.run([tmp_path / "nothing"], tmp_path / "x.html")
