"""The stages on models whose layers keep a state or see a window: distilled, refined, ranked with, merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interank.reranking.reranker import Reranker
from interank.stages import distill, rl
from interank.stages.merge import merge
from interank.tasks.judge.recipe import DistillJudge, RlJudge
from interank.types import Document, Query
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.families import family_folder

PROMPT = {"max_length": 300, "max_query_tokens": 60, "max_document_tokens": 60}


@pytest.mark.parametrize("family", ["qwen3.5", "lfm2", "gemma3"])
def test_every_stage_goes_through(tmp_path: Path, family: str) -> None:
    student = family_folder(tmp_path / "student", family)
    examples = rule.examples(0, queries=4, documents=4), rule.examples(1, queries=2, documents=4, split="validation")
    judgments = judgments_artifact(tmp_path / "judgments", [*examples[0], *examples[1]])
    taught: dict[str, Any] = {
        "stage": "distill",
        "judgments": judgments,
        "student": str(student),
        "prompt": PROMPT,
        "mixture": {"explain": 1.0, "reason": 1.0},
        "loss": {"tokens": 1.0, "grade": 0.5, "listwise": 0.5},
        "lora": {"rank": 4, "alpha": 8},
        "validation": {"questions": 2},
        "trainer": {"max_steps": 2, "per_device_train_batch_size": 1, "learning_rate": 1e-2},
    }
    adapter = distill.run(DistillJudge.model_validate(taught), tmp_path / "adapter")
    refined: dict[str, Any] = {
        "stage": "rl",
        "judgments": judgments,
        "adapter": adapter.path,
        "max_completion_tokens": 14,
        "documents_per_query": 4,
        # Of two adapters that were tried the better one would be kept, which may be the first.
        "validation": {"questions": 0},
        "rewards": [{"use": "grade_agreement"}, {"use": "well_formed", "weight": 0.2}],
        "trainer": {"max_steps": 1, "num_generations": 2, "per_device_train_batch_size": 8, "learning_rate": 1e-2},
    }
    better = rl.run(RlJudge.model_validate(refined), tmp_path / "rl")
    merge(better.path, tmp_path / "merged", tolerance=1.0)
    query = Query("q", rule.query_text("red", "fox"))
    documents = [Document(str(n), rule.document_text("red", animal, "den")) for n, animal in enumerate(rule.ANIMALS)]
    ranked = {
        name: {item.doc_id: item.score for item in Reranker(tmp_path / name).rank(query, documents)}
        for name in ("adapter", "rl", "merged")
    }
    assert {len({*scores.values()}) for scores in ranked.values()} == {len(documents)}
    assert ranked["adapter"] != ranked["rl"]
    assert all(abs(ranked["rl"][name] - score) < 1.0 for name, score in ranked["merged"].items())
