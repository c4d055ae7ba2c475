"""A reward model learns a rule that can be learned, and from marks that were dealt out anew it does not."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from interank.stages import reward
from tests.support.marked_explanations import explained_artifact, judged, recipe_of

LEARNED, LEFT_OUT = ("other_document", "template"), ("minimal_edit", "padding")
SEED = 1


@pytest.mark.slow
def test_a_reward_model_learns_what_a_good_explanation_names(rule_base: Path, tmp_path: Path) -> None:
    """That held-out pairs are told apart proves the plumbing, and says nothing of kinds of faults that it never saw."""
    examples = judged(queries=160, held_out=30, seed=SEED)
    judgments = explained_artifact(tmp_path / "explained", examples, seed=SEED)
    trainer = {
        "max_steps": 250,
        "learning_rate": 3.0e-3,
        "per_device_train_batch_size": 16,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "logging_steps": 50,
    }
    more = {"seed": SEED, "lora": {"rank": 16, "alpha": 32}, "left_out": LEFT_OUT, "trainer": trainer}
    made = reward.run(recipe_of(rule_base, judgments, **more), tmp_path / "reward")
    told = json.loads((made.path / "report.json").read_text("utf-8"))
    print({name: round(_accuracy(told, name), 3) for name in told["accuracy"]})
    assert _accuracy(told, "trained") > 0.9
    assert _accuracy(told, "shuffled marks") <= 0.75
    assert _accuracy(told, "trained") > _accuracy(told, "length alone") + 0.1


def _accuracy(told: dict[str, Any], system: str) -> float:
    """On the kinds of fault that were learned."""
    return fmean(told["by_kind"][kind][system]["mean"] for kind in LEARNED)
