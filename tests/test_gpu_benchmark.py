"""The one command for a day with a GPU runs through on a tiny model, and what it has no time for is told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.preloaded import programs

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu.py"


def run(file: Path, *more: str) -> dict[str, Any]:
    command = [programs() / "python", str(SCRIPT), "--shape", "tiny", "--device", "cpu", "--json", str(file), *more]
    subprocess.run(command, check=True, capture_output=True, timeout=1800)
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


@pytest.mark.slow
def test_every_part_runs_on_a_tiny_model(tmp_path: Path) -> None:
    # A busy machine takes its time; a free core needs two minutes.
    found = run(tmp_path / "found.json", "--minutes", "25")
    assert {name: told for name, told in found.items() if name.endswith("_error") and isinstance(told, str)} == {}
    assert max(found["tree_forward_error"], found["tree_gradient_error"]) < 1e-5
    assert found["tree_distill_1_at_once_dispatches"] < found["tree_distill_1_by_piece_dispatches"] / 10
    for name in ("distill", "distill_nf4"):
        assert found[f"{name}_tokens_per_second_ours"] > 0
        assert found[f"{name}_planned_bytes"] > 0
    assert found["distill_nf4_planned_bytes"] < found["distill_planned_bytes"]
    assert found["grpo_max_gradient_error"] < 1e-4
    assert found["score_max_logit_difference"] < 1e-3
    assert 0 < found["score_share_of_matmul"] < 2
    assert found["reason_tokens_written"] == 64
    assert (found["end_to_end_distill_steps"], found["end_to_end_rl_steps"]) == (6, 4)
    assert all(not isinstance(value, dict) for value in found.values())


def test_parts_for_which_there_is_no_time_say_so(tmp_path: Path) -> None:
    found = run(tmp_path / "found.json", "--minutes", "0.2", "--only", "reason", "score")
    assert found["score_error"] == found["reason_error"] == "no time was left"
