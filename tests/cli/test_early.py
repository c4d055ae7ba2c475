"""What is wrong with keys, places and inputs is told before torch is loaded, in the words of the stage."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from interank.artifact import MANIFEST, create
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.benchmark import benchmark_folder, write_jsonl

# Whoever imports torch, or what is built on it, fails in another way than it should.
_SCRIPT = """
import contextlib, io, json, sys
for name in ("torch", "peft", "datasets"):
    sys.modules[name] = None
from interank.cli.app import main
told = {}
for name, line in json.load(sys.stdin).items():
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = main(line)
    told[name] = [code, said.getvalue()]
print(json.dumps(told))
"""

CASES = {
    "distill without judgments": ("distill JUDGE --out new", "judgments"),
    "distill of judgments that are nowhere": ("distill JUDGE judgments=nowhere --out new", "nowhere does not exist"),
    "distill of pairs": ("distill JUDGE judgments=pairs --out new", "pairs holds pairs.*judgments"),
    "distill of a folder": ("distill JUDGE judgments=folder --out new", "folder has no manifest"),
    "distill over an output": ("distill JUDGE judgments=judgments --out pairs", "pairs exists.*--resume"),
    "distill over what it reads": (
        "distill JUDGE judgments=judgments --out judgments",
        "judgments is an input and would be lost",
    ),
    "distill over a stranger's": ("distill JUDGE judgments=judgments --out folder --overwrite", "not made by interank"),
    "distill beside an unfinished one": ("distill JUDGE judgments=judgments --out begun", "unfinished.*--resume"),
    "distill of no student": ("distill JUDGE judgments=judgments student=./nowhere --out new", "nowhere does not"),
    "distill of lists that are nowhere": ("distill ORDER dear_cot=nowhere --out new", "dear_cot.0: nowhere"),
    "distill of groups that are nowhere": ("distill HEAD groups=nowhere --out new", "groups: nowhere"),
    "distill of a run that is nowhere": (
        "distill HEAD judgments=judgments negatives=run run=nowhere --out new",
        "run: nowhere",
    ),
    "two faults": ("distill JUDGE judgments=nowhere student=./nobody --out new", r"(?s)(nobody.*\n.*nowhere)"),
    "check": ("check JUDGE judgments=nowhere", "nowhere does not exist"),
    "generate without dumps": ("generate VOTES --out new", "dumps"),
    "generate without benchmarks": ("generate VOTES dumps=table.jsonl decontaminate=true --out new", "benchmarks"),
    "generate of dumps that are nowhere": ("generate VOTES dumps=./nowhere --out new", "nowhere"),
    "generate against nothing": (
        "generate VOTES dumps=table.jsonl decontaminate=true benchmarks=nowhere --out new",
        "nowhere is no folder",
    ),
    "generate of judgments as pairs": ("generate VOTES pairs=judgments --out new", "judgments holds judgments.*pairs"),
    "generate over an output": ("generate VOTES pairs=pairs --out judgments", "judgments exists"),
    "evaluate on nothing": ("evaluate EVALUATE benchmark=./nowhere --out new", "nowhere"),
    "evaluate nobody": ("evaluate EVALUATE benchmark=benchmark adapters=/nowhere --out new", "/nowhere does not"),
    "evaluate judgments": (
        "evaluate EVALUATE benchmark=benchmark adapters=judgments --out new",
        "judgments holds judgments.*interank distill .*judgments=judgments",
    ),
    "evaluate by no qrels": ("evaluate EVALUATE benchmark=benchmark qrels=nowhere --out new", "qrels: nowhere"),
    "rl of nothing": ("rl RL --out new", "judgments and adapter"),
    "rl of what is nowhere": ("rl RL judgments=nowhere adapter=nobody --out new", r"(?s)nowhere.*\n.*nobody"),
    "rl of judgments": ("rl RL judgments=judgments adapter=judgments --out new", "judgments holds judgments.*adapter"),
    "run over a stage": ("run RUN --out whole", "whole/evaluate exists.*--resume"),
    "merge over something": ("merge judgments --out folder", "folder exists"),
    "merge of nothing": ("merge nowhere --out new", "nowhere does not exist"),
    "merge of judgments": ("merge judgments --out new", "judgments holds judgments.*adapter"),
    "export over something": ("export ./nobody --to onnx --out folder", "folder exists"),
    "export of nothing": ("export ./nowhere --to onnx --out new", "nowhere does not exist"),
    "attack on nothing": ("attack ./nowhere --benchmark benchmark", "nowhere does not exist"),
    "parity of nothing": ("check-parity ./nowhere", "nowhere does not exist"),
    "attack on no benchmark": ("attack ./nobody --benchmark ./nowhere", r"(?s)nobody.*\n.*nowhere"),
    "parity of no requests": ("check-parity ./nobody --golden nowhere", r"(?s)nobody.*\n--golden: nowhere"),
    "queries of nothing": ("queries ./nowhere --corpus benchmark --out new", "nowhere does not exist"),
    "a manifest of another program": ("merge list --out new", "list: manifest.json is another program's"),
    "a manifest without its parts": ("merge bare --out new", "bare: manifest.json lacks kind, inputs and files"),
    "rerank with nothing": ("rerank ./nowhere --query q note.txt", "nowhere does not exist"),
    "rerank with a name that is nearly one": ("rerank scorrer --query q note.txt", "scorrer .*did you mean scorer"),
    "evaluate what is nearly there": (
        "evaluate EVALUATE benchmark=benchmark adapters=whole/evaluat --out new",
        "whole/evaluat .*did you mean whole/evaluate",
    ),
    "rerank with judgments": (
        "rerank judgments --query q note.txt",
        "judgments holds judgments.*interank distill .*judgments=judgments",
    ),
    "rerank with pairs": ("rerank pairs --query q note.txt", "pairs holds pairs.*interank generate .*pairs=pairs"),
    "rerank nothing": ("rerank folder --corpus ./nowhere", r"(?s)folder.*\n.*nowhere"),
    "rerank no requests": ("rerank ./nobody --requests nowhere", r"(?s)nobody.*\n--requests: nowhere"),
    "rerank no run": ("rerank ./nobody --corpus benchmark --run nowhere", r"(?s)nobody.*\n--run: nowhere"),
    "rerank with a folder": ("rerank folder --query q note.txt", "folder has no config.json"),
    "rerank and then nothing": ("rerank ./nobody --query q note.txt --then ./nowhere", r"(?s)nobody.*\n.*nowhere"),
    "explanations of who has none": ("rerank scorer --query q note.txt --explain 2", "--explain 2.*--explain 0"),
}

RECIPES = {
    "JUDGE": "stage: distill\nstudent: some/model\n",
    "ORDER": "stage: distill\ntask: order\nstudent: some/model\ndecontaminate: false\n",
    "HEAD": "stage: distill\ntask: head\nobjective: cross_entropy\nstudent: some/model\n",
    "VOTES": "stage: generate\ndecontaminate: false\nteacher: {grades: votes, max_reasoning_tokens: 0, model: none}\n",
    "EVALUATE": "stage: evaluate\n",
    "RL": "stage: rl\nrewards: [{use: grade_agreement, weight: 1.0}]\n",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Each command's exit code and what it said, in a process that has no torch."""
    here = tmp_path_factory.mktemp("early")
    for name, text in RECIPES.items():
        (here / f"{name}.yaml").write_text(text)
    judgments_artifact(here / "judgments", rule.examples(0, queries=2))
    benchmark_folder(here / "benchmark", queries=2)
    write_jsonl(here / "table.jsonl", [{"question_id": 7, "title": "Why?", "body": "Why so?", "answers": []}])
    (here / "note.txt").write_text("A red fox.")
    (here / "folder").mkdir()
    (here / "folder" / "file").touch()
    (here / "whole" / "evaluate").mkdir(parents=True)
    for name, kind, notes in (
        ("pairs", "pairs", {}),
        ("scorer", "adapter", {"task": "judge", "modes": ["score"]}),
        ("whole/evaluate", "evaluation", {}),
    ):
        create(here / name, kind, recipe={}, inputs={}).finish(seed=0, counts={}, notes=notes)  # type: ignore[arg-type, union-attr]
    for name, manifest in (("list", "[]"), ("bare", '{"format": 1}')):
        (here / name).mkdir()
        (here / name / MANIFEST).write_text(manifest)
    begun = create(here / "begun", "adapter", recipe={}, inputs={})
    (begun.work / "ledger").touch()  # type: ignore[union-attr]
    del begun
    lines = {name: [_word(word) for word in line.split()] for name, (line, _) in CASES.items()}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], input=json.dumps(lines), capture_output=True, text=True, cwd=here, timeout=150
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert not (here / "new").exists()
    return found


def _word(word: str) -> str:
    if word == "RUN":
        return "demo"
    return f"{word}.yaml" if word in RECIPES else word


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_without_torch(told: dict[str, Any], name: str) -> None:
    code, said = told[name]
    assert re.search(CASES[name][1], said), said
    assert code == 1
    assert "Traceback" not in said
