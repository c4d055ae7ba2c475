"""The starter, which comes with interank: small, opened by its name, score-only, and trained further."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interank import Reranker
from interank.artifact import open_artifact
from interank.cli.app import main
from interank.resources import expanded, resource_dir
from interank.settings import PromptSettings
from interank.tasks.students import student

STARTER = resource_dir("data") / "starter"
PASSAGES = resource_dir("data") / "passages"
QUESTION = "What makes an old house lose so much heat, and what can I do about it?"
HELP = {"draughts.txt", "loft.txt", "radiators.txt"}


def test_its_name_is_its_folder_unless_a_file_of_that_name_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert expanded("starter") == STARTER
    assert expanded("starter/adapter") == Path("starter/adapter")
    (tmp_path / "starter").mkdir()
    assert expanded("starter") == Path("starter")


def test_it_is_whole_small_and_names_its_sources() -> None:
    made = open_artifact(STARTER, "adapter")
    assert sum(path.stat().st_size for path in STARTER.rglob("*") if path.is_file()) <= 6_000_000
    assert made.manifest["stored"] == "bfloat16"
    sources = (STARTER / "ATTRIBUTION.md").read_text("utf-8")
    for site in ("matheducators", "quantumcomputing", "sustainability"):
        assert f"https://{site}.stackexchange.com" in sources
    assert "CC BY-SA" in sources
    for folder, steps in ((STARTER, made.manifest["counts"]["steps"]), (STARTER / "earlier" / "first", 180)):
        log = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
        assert max(row["step"] for row in log) == steps
    assert made.manifest["modes"] == ["score"]
    assert "What it is for, and what it is not" in (STARTER / "README.md").read_text("utf-8")


def test_it_ranks_by_its_name_and_says_that_it_does_not_explain(capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(path) for path in sorted(PASSAGES.glob("*.txt"))]
    assert main(["rerank", "starter", "--query", QUESTION, *files, "--json", "--quiet"]) == 0
    ranking = json.loads(capsys.readouterr().out)["ranking"]
    names = [Path(item["doc_id"]).name for item in ranking]
    assert set(names[:3]) == HELP
    assert all(item["label_mass"] > 0.95 and not item.get("explanation") for item in ranking)
    assert main(["rerank", "starter", "--query", QUESTION, *files, "--explain", "2", "--quiet"]) != 0
    assert "scores or grades without explanations" in capsys.readouterr().err


def test_it_can_be_trained_further() -> None:
    given = student("starter", PromptSettings(), "judge")
    assert given.path == STARTER
    given.opened(given.path)


def test_in_python_too() -> None:
    ranking = Reranker("starter").rank(QUESTION, [path.read_text() for path in sorted(PASSAGES.glob("*.txt"))])
    assert len(ranking) == 6
