"""What `interank check` foresees of a stage: what it reads, writes and takes, by the stage's own figures."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification, DistilBertConfig

from interank.artifact import open_artifact
from interank.cli.app import main
from interank.engines.models import find_model, load_model
from interank.stages import estimates
from interank.training.planning import weights_of
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.benchmark import benchmark_folder

Capture = pytest.CaptureFixture[str]


def foreseen(capsys: Capture, *words: str | Path) -> dict[str, str]:
    """What `interank check` says beside the recipe, by what its lines begin with; inputs by their keys."""
    capsys.readouterr()
    assert main(["check", *map(str, words)]) == 0
    found = {}
    for line in capsys.readouterr().err.splitlines():
        label, _, said = line.partition(": ")
        name, _, rest = said.partition(" ")
        found |= {f"reads {name}": rest} if label == "reads" else {label: said}
    return found


def refused(capsys: Capture, *words: str | Path) -> str:
    capsys.readouterr()
    assert main([*map(str, words)]) == 1
    return capsys.readouterr().err.partition("interank: ")[2].rstrip("\n")


def distilling(tmp_path: Path, model: Path, *more: str) -> list[str]:
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=3))
    lora = ["lora.rank=4", "validation.questions=0", "prompt.max_length=300", "prompt.max_query_tokens=60"]
    batch = ["trainer.per_device_train_batch_size=1", "trainer.gradient_accumulation_steps=1"]
    batch.append("documents_per_group=20")
    return ["distill/smollm2", f"student={model}", f"judgments={judgments}", *lora, *batch, *more]


def test_a_training_takes_what_its_own_plan_says(capsys: Capture, tiny_folder: Path, tmp_path: Path) -> None:
    words = distilling(tmp_path, tiny_folder, "trainer.max_steps=2", "trainer.save_strategy='no'")
    told = foreseen(capsys, *words)
    assert str(tiny_folder) in told["reads student"]
    assert str(tmp_path / "judgments") in told["reads judgments"]
    assert "adapter" in told["writes"]
    assert main(["distill", *words, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    made = open_artifact(tmp_path / "out")
    memory = json.loads((made.path / "cost.json").read_text())["trainer"]["memory"]
    total = memory["estimated_bytes"] / 2**30
    assert f"{total:.2f} GiB" in told["memory"]
    steps = int(re.search(r"in (\d+) steps", told["time"])[1])  # type: ignore[index]
    assert steps == made.manifest["counts"]["steps"] == 2
    # Two of the three questions are taken; what their rows share is computed once, as in the largest microbatch.
    tokens = int(re.search(r"(\d+) tokens", told["time"])[1])  # type: ignore[index]
    largest = memory["plan"]["tokens"]
    assert tokens == min(round(made.manifest["counts"]["tokens"] * 2 / 3), 2 * largest)


def test_what_cannot_be_trained_here_is_refused_as_the_stage_refuses_it(
    capsys: Capture, tiny_folder: Path, tmp_path: Path
) -> None:
    # Shares so small that nothing is drawn are seen when the questions are.
    words = distilling(tmp_path, tiny_folder, "mixture={score: 1.0e-9}")
    told = refused(capsys, "check", *words)
    assert "mixture" in told
    assert told == refused(capsys, "distill", *words, "--out", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["judgments"]


def test_weights_are_counted_without_loading_them(tiny_folder: Path) -> None:
    files = find_model(str(tiny_folder))
    assert weights_of(files) == sum(weight.numel() for weight in load_model(files).parameters())


def test_an_evaluation_counts_its_candidates_and_prices_its_time(
    capsys: Capture, tiny_adapter: Path, tmp_path: Path
) -> None:
    benchmark = benchmark_folder(tmp_path / "benchmark", queries=3, documents=5)
    words = ["evaluate/benchmark", f"benchmark={benchmark}", f"adapters={tiny_adapter}", "depth=4"]
    told = foreseen(capsys, *words, "price_per_hour=3600")
    assert re.findall(r"\d+", told["takes"])[:2] == ["3", "12"]
    assert "GFLOP/s" in told["time"]
    assert re.search(r"\d", told["money"])
    assert not re.search(r"\d", foreseen(capsys, *words)["money"])


@pytest.mark.parametrize("kind", ["model", "encoder", "graph", "hub"])
def test_an_evaluation_of_whole_models_is_foreseen(
    capsys: Capture, kind: str, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark, folder = benchmark_folder(tmp_path / "benchmark", queries=3, documents=5), tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    if kind == "encoder":
        config = DistilBertConfig(dim=32, n_layers=1, n_heads=2, hidden_dim=32)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    elif kind == "graph":
        (folder / "model.safetensors").unlink()
        (folder / "model.onnx").touch()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "nothing"))
    name = "owner/reranker" if kind == "hub" else str(folder)
    told = foreseen(capsys, "evaluate/benchmark", f"benchmark={benchmark}", f"adapters={name}", "depth=4")
    assert re.findall(r"\d+", told["takes"])[:2] == ["3", "12"]
    assert ("time" in told) == (kind in ("model", "encoder"))


def test_a_run_of_another_benchmark_is_refused_as_the_stage_refuses_it(capsys: Capture, tmp_path: Path) -> None:
    benchmark, run = benchmark_folder(tmp_path / "benchmark"), tmp_path / "other.trec"
    run.write_text("none Q0 nothing 1 1.0 x\n")
    words = ["evaluate/benchmark", f"benchmark={benchmark}", f"runs={run}"]
    told = refused(capsys, "check", *words)
    assert str(run) in told
    assert told == refused(capsys, "evaluate", *words, "--out", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmark", "other.trec"]


def test_a_pipeline_counts_and_prices_the_teacher_s_work(capsys: Capture) -> None:
    priced = ["generate.teacher.price={read: 1.0, written: 2.0}", "generate.teacher.speed={read: 1000, written: 10}"]
    priced.append("generate.teacher.max_reasoning_tokens=32")
    told = foreseen(capsys, "demo", *priced)
    pairs, read, written = map(int, re.findall(r"\d+", refetched(capsys, *priced)))
    assert pairs > 0
    assert f"{(read + 2 * written) / 1e6:.2f} dollars" in told["money"]


def refetched(capsys: Capture, *words: str) -> str:
    """The teacher's line of the pipeline, whose evaluation has one too."""
    capsys.readouterr()
    assert main(["check", "demo", *words]) == 0
    lines = capsys.readouterr().err.splitlines()
    return next(line for line in lines if line.startswith("takes: ") and "pairs to judge" in line)


def test_spans_and_sizes_are_told_in_their_units(tmp_path: Path) -> None:
    assert [estimates.span(number) for number in (5, 90, 5400, 172800)] == [
        "5 seconds",
        "1.5 minutes",
        "1.5 hours",
        "2.0 days",
    ]
    (tmp_path / "file").write_bytes(b"x" * 1500)
    assert estimates.bytes_of(tmp_path) == 1500
    assert estimates.speed() > 1e8
