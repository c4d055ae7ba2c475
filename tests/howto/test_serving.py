"""What the documents on exports, released rerankers and the hub show is run as it stands, on tiny models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interank.tasks.judge.forms import read_form
from tests.support.adapters import tiny_adapter
from tests.support.tiny import strong_adapter, tiny_model
from tests.tasks.test_yes_or_no import stand_in
from tests.test_readme import ROOT, Snippet, read_snippets, run_bash, run_python, workplace

__all__ = ["workplace"]

RELEASED = "Qwen/Qwen3-Reranker-0.6B"
DEMO = "runs/demo/rl"
HUB = ROOT / "docs" / "howto" / "hub.md"


def shown(name: str, change: Callable[[str], str] = lambda text: text) -> list[Snippet]:
    """A document's commands, those that are not run with the others as well."""
    document = ROOT / "docs" / name
    found = [each for each in read_snippets(document, change(document.read_text("utf-8"))) if each.language == "bash"]
    assert found
    return found


def trained(workplace: Path) -> None:
    """An adapter where the demo leaves its own, which looks for its base beside that."""
    made = tiny_adapter(tiny_model(workplace / "base"), workplace / "runs" / "demo")
    made.rename(workplace / DEMO)


def test_the_exports_are_made_and_compared(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript", reason="interank[onnx] is not installed")
    monkeypatch.chdir(workplace)
    trained(workplace)
    # A model that learned this little is not told from a broken one, so that its certificate says no.
    for snippet in shown("export.md", lambda text: text.replace("interank check-parity", "# interank check-parity")):
        run_bash(snippet, workplace)
    told = [read_form(workplace / "runs" / name) for name in ("rl-st", "rl-onnx", "rl-vllm")]
    assert [form.to for form in told if form] == ["cross-encoder", "onnx", "vllm"]
    for name, snippets in (("rl-st", 2), ("rl-onnx", 1)):
        card = workplace / "runs" / name / "README.md"
        opened = read_snippets(card, card.read_text("utf-8").replace("THIS FOLDER", str(card.parent)))
        assert len(opened) == snippets
        for snippet in opened:
            run_python(snippet, {})


def test_a_service_ranks(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    made = strong_adapter(workplace)
    (workplace / "runs" / "demo").mkdir(parents=True)
    made.rename(workplace / DEMO)
    document, names = ROOT / "docs" / "howto" / "serve.md", dict[str, Any]()
    (service,) = [each for each in read_snippets(document, document.read_text("utf-8")) if each.language == "python"]
    run_python(service, names)
    texts = ["It rains.", "The pump runs dry."]
    assert sorted(asyncio.run(names["rerank"]("why does the pump run?", texts))) == texts


def test_a_released_reranker_is_compared_with_ones_own(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    trained(workplace)
    stand_in(workplace / RELEASED)
    recipe = workplace / "recipes" / "evaluate" / "benchmark.yaml"
    recipe.write_text(recipe.read_text().replace("depth: 100", "depth: 4"))
    for snippet in shown("howto/released-rerankers.md", lambda text: text.replace("--top-k 20", "--top-k 4")):
        run_bash(snippet, workplace)
    metrics = json.loads((workplace / "runs" / "eval" / "metrics.json").read_text())
    assert "Qwen3-Reranker-0.6B" in str(metrics)
    assert (workplace / "qwen3.trec").read_text().count("\n") > 27


def test_a_push_shows_its_files_and_its_card(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the commands those alone that send nothing."""
    monkeypatch.chdir(workplace)
    trained(workplace)
    evaluated = "interank evaluate recipes/evaluate/benchmark.yaml benchmark=data/benchmark depth=3"
    run_bash(Snippet(HUB, 1, "bash", f"{evaluated} adapters={DEMO} --out runs/eval", True), workplace)
    commands = [line for each in shown("howto/hub.md") for line in each.text.splitlines() if "--dry-run" in line]
    assert len(commands) == 1
    run_bash(Snippet(HUB, 1, "bash", commands[0], True), workplace)
