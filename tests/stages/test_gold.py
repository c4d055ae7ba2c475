"""A policy that finds out what its reward pays for is stopped by the gold check, and an adapter from before is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interank import judging
from interank.settings import LoraRecipe, RewardRecipe
from interank.stages import distill, rl
from interank.tasks.judge.recipe import DistillJudge, RlJudge
from tests.support import explaining, rule
from tests.support.artifacts import judgments_artifact
from tests.support.rule_model import PROMPT
from tests.support.stub import Answer, Stub, said, serving

pytestmark = pytest.mark.own_rewards

TRAINER = {"gradient_checkpointing": False, "save_strategy": "no"}


def mark(number: int, body: dict[str, Any]) -> Answer:
    """The program's mark of the one answer that is asked about; an answer that cannot be read is worth nothing."""
    asked, _, rest = body["messages"][-1]["content"].partition("Grade and explanation:\n")
    judgment = judging.parse(rest.rpartition("\n\n")[0])
    if judgment is None:
        return said("Mark: 0")
    query, document = explaining._texts(asked)
    return said(f"Mark: {round(10 * explaining.mark(query, document, int(judgment.relevance), judgment.reasoning))}")


@pytest.mark.slow
def test_a_reward_that_is_easy_to_hack_is_noticed_by_gold(rule_base: Path, tmp_path: Path) -> None:
    examples = [explaining.explained(item) for item in rule.examples(0, queries=120)]
    held_out = [explaining.explained(item) for item in rule.examples(7, queries=8, documents=6, split="validation")]
    judgments = judgments_artifact(tmp_path / "judgments", [*examples, *held_out])
    student = DistillJudge(
        stage="distill",
        judgments=judgments,
        student=str(rule_base),
        prompt=PROMPT,
        lora=LoraRecipe(rank=16, alpha=32),
        documents_per_group=6,
        trainer={**TRAINER, "max_steps": 120, "learning_rate": 5.0e-3, "per_device_train_batch_size": 3},
    )
    adapter = distill.run(student, tmp_path / "student").path
    # Pays for a word, as a keyword's count would; of what is true it knows nothing.
    file = tmp_path / "keyword.py"
    file.write_text(
        'CREDIT = "explanation"\n'
        "def reward(*, completions, **_):\n"
        "    return [float(text.split().count('same')) for text in completions]\n"
    )
    stub = Stub(mark)
    with serving(stub):
        server = {"urls": (stub.url,), "api": "chat", "attempts": 1}
        judge = {"model": "program", "engine": "openai", "server": server, "max_reasoning_tokens": 8}
        recipe = {
            "stage": "rl",
            "judgments": judgments,
            "adapter": adapter,
            "max_completion_tokens": 32,
            "documents_per_query": 3,
            "rewards": (RewardRecipe(use=str(file)),),
            "grade": {"gradient": "none", "calibration": 0.01},
            "collapse_detection": {"patience": 9, "ndcg_drop": 1.0, "length_factor": 100.0, "format_drop": 1.0}
            | {"entropy_share": 0.0, "grade_entropy_share": 0.0, "calibration_rise": 1.0},
            "validation": {"every": 5, "questions": 8, "explained": 0, "calibration_margin": 1.0}
            | {"gold": {"every": 5, "samples": 24, "judge": judge}},
            "trainer": {
                **TRAINER,
                "learning_rate": 2.0e-3,
                "max_steps": 80,
                "num_generations": 8,
                "per_device_train_batch_size": 48,
            },
        }
        artifact = rl.run(RlJudge.model_validate(recipe), tmp_path / "rl")
    tried = artifact.manifest["validation"]
    rows = [json.loads(line) for line in (artifact.path / "trials.jsonl").read_text().splitlines()]
    print([(row["step"], round(row["gold"], 2), row.get("reward")) for row in rows])
    assert rows[0]["gold"] > 0.4
    assert tried["stopped"].startswith("reward up while gold falls")
    assert tried["last"]["step"] == artifact.manifest["counts"]["steps"] < 80
    assert tried["last"]["gold"] < rows[0]["gold"] - 0.1
    assert tried["best"]["gold"] >= rows[0]["gold"] - 0.1
    assert "reward up while gold falls" in (artifact.path / "report.html").read_text()
