"""The grade's gradient summed over the grades, sampled, and supervised: what each makes of the same processor time.

    python benchmarks/grade_gradient.py --seconds 20 --seeds 3 [--json FILE]

On the tests' tiny model and relevance rule (run it from the repository's root): a half-trained adapter is refined on
the same 160 queries of three documents. Each way is given as many steps as fit into the seconds, by the processor time
that its first steps took; nDCG@10 is that of 40 held-out queries, of the last adapter and not of the best.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from interank.recipe import RewardRecipe, RlRecipe
from interank.stages import rl
from tests.stages.test_learning import HELD_OUT, half_trained
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.rule_model import rule_base

RANKING = RewardRecipe(use="ranking")
AGREEMENT = RewardRecipe(use="grade_agreement")
WAYS: dict[str, dict[str, Any]] = {
    "sampled, ranking": {"grade": {"gradient": "sampled"}, "rewards": (RANKING,)},
    "exact, ranking": {"rewards": (RANKING,)},
    "exact, reciprocal rank": {"rewards": (RewardRecipe(use="ranking", params={"measure": "reciprocal_rank"}),)},
    "exact, nDCG": {"rewards": (RewardRecipe(use="ranking", params={"measure": "ndcg"}),)},
    "exact, agreement": {"rewards": (AGREEMENT,)},
    "exact, ranking, calibrated": {"grade": {"calibration": 0.3}, "rewards": (RANKING,)},
    "supervised, listwise": {"grade": {"gradient": "none", "listwise": 1.0}, "rewards": (RANKING,)},
    "supervised, grade": {"grade": {"gradient": "none", "calibration": 1.0}, "rewards": (RANKING,)},
}
PROBE = 3


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of processor time for each way and seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", default=",".join(map(str, range(len(WAYS)))), help="by number")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[dict[str, float]]] = {}
    chosen = [list(WAYS)[int(number)] for number in options.ways.split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        base = rule_base(Path(scratch) / "base")
        for seed in range(options.seeds):
            folder = Path(scratch) / str(seed)
            folder.mkdir()
            half, _ = half_trained(base, folder, seed)
            for number, name in enumerate(chosen):
                found.setdefault(name, []).append(
                    refined(half, folder / f"{number}", seed, WAYS[name], options.seconds)
                )
                print(f"seed {seed}, {name}: {found[name][-1]}", flush=True)
    for name, rows in found.items():
        means = {key: fmean(row[key] for row in rows) for key in rows[0]}
        print(f"{name:28} " + ", ".join(f"{key} {value:.3f}" for key, value in means.items()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


def refined(half: Path, out: Path, seed: int, way: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """Refine for so many seconds of processor time."""
    judgments = judgments_artifact(
        out.with_name(f"{out.name}-judgments"), [*rule.examples(100 + seed, queries=160), *HELD_OUT]
    )

    def run(steps: int, place: Path, questions: int) -> Mapping[str, Any]:
        recipe = {
            "stage": "rl",
            "judgments": judgments,
            "adapter": half,
            "seed": seed,
            "max_completion_tokens": 8,
            "documents_per_query": 3,
            "seatbelt": {"enabled": False},
            "validation": {"every": max(1, steps), "questions": questions, "explained": 0},
            "trainer": {
                "learning_rate": 1.0e-3,
                "max_steps": steps,
                "num_generations": 8,
                "per_device_train_batch_size": 96,
                "max_grad_norm": 0.5,
                "gradient_checkpointing": False,
                "save_strategy": "no",
            },
        }
        return rl.run(RlRecipe.model_validate({**recipe, **way}), place).manifest

    def spent(steps: int) -> float:
        began = time.process_time()
        run(steps, out.with_name(f"{out.name}-probe{steps}"), 0)
        return time.process_time() - began

    # Loading takes the same in both.
    each = max(1e-3, (spent(2 * PROBE) - spent(PROBE)) / PROBE)
    steps = max(1, round(seconds / each))
    tried = run(steps, out, 40)["validation"]
    return {
        "steps": float(steps),
        "before": tried["start"]["nDCG@10"],
        "after": tried["last"]["nDCG@10"],
        "accuracy": tried["last"]["grade_accuracy"],
        "calibration error": tried["last"]["calibration_error"],
    }


if __name__ == "__main__":
    main()
