"""Several processes that do the same are refused before any work, by the command and by every stage that writes."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from interank.cli.app import main
from interank.errors import InputError
from interank.launched import refuse_several_processes

# What `torchrun --nproc_per_node 2` sets for its first process.
TORCHRUN = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29511",
}
STAGES = (
    ("generate", "run"),
    ("distill", "run"),
    ("rl", "run"),
    ("evaluate", "run"),
    ("pipeline", "run"),
    ("compare", "run"),
    ("merge", "merge"),
    ("export", "export"),
    ("fit", "fit"),
    ("fit", "fit_into"),
    ("attack", "attack"),
    ("parity", "check_parity"),
)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"WORLD_SIZE": "2", "LOCAL_RANK": "1"}, "WORLD_SIZE=2, LOCAL_RANK=1 is set"),
        # One process of torchrun's waits for a rendezvous as well.
        ({"WORLD_SIZE": "1", "LOCAL_RANK": "0"}, "^LOCAL_RANK=0"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "^OMPI_COMM_WORLD_SIZE=4"),
        ({"PMI_SIZE": "2"}, "^PMI_SIZE=2"),
    ],
    ids=str,
)
def test_a_launcher_is_noticed(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=told):
        refuse_several_processes()


def test_one_process_is_none_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("LOCAL_RANK", "-1")
    refuse_several_processes()


@pytest.mark.parametrize(("module", "name"), STAGES)
def test_every_stage_that_writes_refuses_first(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    stage = getattr(importlib.import_module(f"interank.stages.{module}"), name)
    for variable, value in TORCHRUN.items():
        monkeypatch.setenv(variable, value)
    needed = [one for one in inspect.signature(stage).parameters.values() if one.default is one.empty]
    # Nothing is looked at before, or this would be another error.
    by_place = [None for one in needed if one.kind is not one.KEYWORD_ONLY]
    by_name = {one.name: None for one in needed if one.kind is one.KEYWORD_ONLY}
    with pytest.raises(InputError, match="in one"):
        stage(*by_place, **by_name)


@pytest.mark.parametrize("verb", ["rerank x --query a b", "score x y nDCG@10", "merge x --out y", "check x"])
def test_every_verb_refuses(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    for variable, value in TORCHRUN.items():
        monkeypatch.setenv(variable, value)
    assert main(verb.split()) == 1
    assert "WORLD_SIZE=2, LOCAL_RANK=0" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["distill", "rl"])
def test_a_process_of_torchruns_ends_in_a_sentence_and_leaves_nothing(tmp_path: Path, stage: str) -> None:
    command = [sys.executable, "-m", "interank.cli.app", stage, f"{stage}/smollm2", "--out", str(tmp_path / "out")]
    given = [f"judgments={tmp_path}", *([f"adapter={tmp_path}"] if stage == "rl" else [])]
    done = subprocess.run(
        [*command, *given], env={**os.environ, **TORCHRUN}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    [sentence] = done.stderr.strip().splitlines()
    assert sentence.startswith("interank: WORLD_SIZE=2")
    assert list(tmp_path.iterdir()) == []
