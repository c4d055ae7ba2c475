"""The one command for the targets of speed runs through on a tiny model, and tells what was not reached or measured."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.preloaded import programs
from tests.support.tiny import strong_model

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "ratios.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [programs() / "python", str(SCRIPT), "--small", "--threads", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)


@pytest.mark.slow
def test_a_ratio_is_held_against_its_target(tmp_path: Path) -> None:
    model, file = strong_model(tmp_path / "model", hidden=128), tmp_path / "found.json"
    parts = ["reason", "rl"]
    done = run("--model", str(model), "--json", str(file), "--only", *parts)
    found = json.loads(file.read_text("utf-8"))
    assert {name: found[name].get("error") for name in parts} == dict.fromkeys(parts), done.stderr
    heading, *rows, remark = done.stdout.splitlines()
    assert heading.split() == ["times", "as", "fast", "as", "target", "got", "reached"]
    told = [row.split()[-3:] for row in rows]
    assert [target for target, *_ in told] == ["4.0", "2.5"]
    assert all((float(got) >= float(target)) == (reached == "yes") for target, got, reached in told)
    assert done.returncode == (0 if all(reached == "yes" for *_, reached in told) else 1)
    assert "mean nothing" in remark


def test_a_part_that_fails_is_no_ratio_that_was_reached(tmp_path: Path) -> None:
    done = run("--model", str(tmp_path / "none"), "--only", "reason")
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].split()[-6:] == ["4.0", "rerank.py", "ended", "with", "1", "no"]
