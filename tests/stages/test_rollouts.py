"""`interank rl` on a real `vllm serve` that is killed mid-step: a sentence, the adapter kept, and --resume goes on."""

from __future__ import annotations

import importlib.util
import json
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from safetensors.torch import load_file

from interank.artifact import open_artifact
from interank.settings import LoraRecipe, PromptSettings
from interank.stages import distill
from interank.tasks.judge.recipe import DistillJudge
from tests.chaos.starter import Started
from tests.stages.test_resume import run
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.commands import alive, command, forked, partial
from tests.support.servers import VllmServer
from tests.support.tiny import strong_model

pytestmark = pytest.mark.own_rewards

PATIENCE = 300.0
STEPS = 8
RECIPE = f"""
stage: rl
max_completion_tokens: 24
documents_per_query: 4
rewards: [{{use: grade_agreement}}, {{use: REWARD}}]
grade: {{gradient: sampled}}
rollouts: {{engine: server, server: {{attempts: 2, longest_wait: 0.5}}}}
trainer:
  {{max_steps: {STEPS}, num_generations: 4, per_device_train_batch_size: 16, gradient_checkpointing: false,
   save_steps: 100, learning_rate: 1.0e-3}}
"""


def logged(folder: Path) -> list[dict[str, float]]:
    """The log's lines of steps."""
    path = folder / "log.jsonl"
    every = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in every if "loss" in line]


def kill_in_step(server: VllmServer, process: Started, said: Path, folder: Path, step: int) -> None:
    """Kill the server once it has the adapter that so many steps gave."""
    deadline = time.monotonic() + PATIENCE
    while not list(folder.glob(f"work/interank-*/adapter-{step + 1}/adapter_model.safetensors")):
        assert alive(process), said.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    server.kill()


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="vLLM is not installed; `make vllm` installs its build for CPUs"
)
def test_a_killed_server_costs_no_step(tmp_path: Path) -> None:
    base = strong_model(tmp_path / "model", hidden=128)
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(1, queries=12))
    start = distill.run(
        DistillJudge(
            stage="distill",
            judgments=judgments,
            student=str(base),
            prompt=PromptSettings(max_length=300, max_query_tokens=64, max_document_tokens=64),
            lora=LoraRecipe(rank=4, alpha=8),
            trainer={"max_steps": 2, "gradient_checkpointing": False, "save_strategy": "no"},
        ),
        tmp_path / "student",
    ).path
    recipe = tmp_path / "rl.yaml"
    # Two steps taught the policy nothing, and yet there is to be something to learn in every step.
    reward = tmp_path / "lengths.py"
    reward.write_text("def reward(*, completions, **_):\n    return [len(text) % 7 / 7 for text in completions]\n")
    recipe.write_text(RECIPE.replace("REWARD", str(reward)))
    out = tmp_path / "out"

    def arguments(server: VllmServer) -> list[str]:
        return command(
            "rl", recipe, out, f"judgments={judgments}", f"adapter={start}", f"rollouts.server.urls={server.url}"
        )

    with ExitStack() as servers:
        first = servers.enter_context(VllmServer(base, tmp_path / "first.log", lora_rank=8))
        first.wait()
        with forked(arguments(first)) as (process, said):
            kill_in_step(first, process, said, partial(out), 3)
            second = servers.enter_context(VllmServer(base, tmp_path / "second.log", lora_rank=8))
            assert process.wait() == 1
            [sentence] = said.read_text().strip().splitlines()
        assert "step 4: " in sentence
        assert "every server failed" in sentence or "no rollout server loaded the adapter" in sentence
        assert sentence.endswith("the adapter after step 3 is kept")
        assert len(logged(partial(out) / "work")) == 3
        kept = partial(out) / "work" / "checkpoints" / "checkpoint-3"
        assert (kept / "complete").is_file()
        assert any(weight.any() for weight in load_file(kept / "adapter_model.safetensors").values())
        second.wait()
        run([*arguments(second), "--resume"])
    artifact = open_artifact(out, "adapter")
    assert [line["step"] for line in logged(out)] == list(range(1, STEPS + 1))
    differences = [line["sampling/difference"] for line in logged(out) if "sampling/difference" in line]
    assert differences
    assert max(differences) < 1e-4
    cost = json.loads((artifact.path / "cost.json").read_text())["trainer"]
    parts = [cost[f"{part}_share"] for part in ("rollout", "reward", "update", "sync")]
    assert sum(parts) == pytest.approx(1, abs=2e-3)
    assert cost["sync_share"] > 0
    assert cost["seconds_per_step"] > 0
