"""What makes the best grades of the same processor time: rewards summed or sampled, ranking losses, proper scores.

    python benchmarks/algorithms.py --work DIR --seconds 4 --seeds 3 [--processes 2] [--json FILE]

On the tests' tiny model and relevance rule (run it from the repository's root): a half-trained adapter is refined on
the same 160 queries of three documents, each way for so many seconds of processor time, in whole steps. It is tried on
60 other queries of six documents: the last adapter, not the best. `shuffled` deals each query's judged grades out anew;
what it gains, it gains by chance. `explained` has completions written whole and rewarded for their form, too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any
from unittest import mock

import torch
from transformers import TrainerCallback

from interank.artifact import Artifact, open_artifact
from interank.engines.adapters import with_adapter
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.settings import PromptSettings, RewardRecipe
from interank.stages import rl
from interank.tasks.judge import grpo
from interank.tasks.judge.recipe import RlJudge
from interank.tasks.judge.trial import AnswerTrial
from interank.training.grpo import prepare
from tests.stages.test_learning import half_trained
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.rule_model import rule_base

RANKING = RewardRecipe(use="ranking", weight=0.5)
FORM = (RewardRecipe(use="well_formed"), RewardRecipe(use="brevity", weight=0.5, params={"soft": 8, "hard": 16}))
LOG_SCORE = 0.3
WAYS: dict[str, dict[str, Any]] = {
    "rewards, sampled": {"gradient": "sampled"},
    "rewards, exact": {"gradient": "exact"},
    "rewards, exact; log score": {"gradient": "exact", "calibration": LOG_SCORE},
    "LambdaLoss": {"gradient": "none", "listwise": 1.0, "listwise_loss": "lambda"},
    "LambdaLoss; log score": {
        "gradient": "none",
        "listwise": 1.0,
        "listwise_loss": "lambda",
        "calibration": LOG_SCORE,
    },
    "ListNet": {"gradient": "none", "listwise": 1.0},
    "ListNet; log score": {"gradient": "none", "listwise": 1.0, "calibration": LOG_SCORE},
}
KINDS: dict[str, dict[str, Any]] = {
    "grade alone": {"rewards": (RANKING,), "max_completion_tokens": 8},
    "shuffled": {"rewards": (RANKING,), "max_completion_tokens": 8, "control": "shuffled"},
    "explained": {"rewards": (RANKING, *FORM), "max_completion_tokens": 24},
}
FIGURES = ("nDCG@10", "calibration_error", "grade_entropy")
HELD_OUT = rule.examples(999, queries=60, documents=6, split="validation")


def main() -> None:
    """Measure, print, and write; what is measured already is read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="goes on with what is there")
    parser.add_argument("--seconds", type=float, default=4.0, help="of processor time for each way, kind and seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2, help="a seed each")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(exist_ok=True)
    base = options.work / "base"
    if not base.exists():
        rule_base(options.work / "making").rename(base)
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(measured, base, options.work / str(seed), seed, options.seconds)
            for seed in range(options.seeds)
        ]
        found = [one.result() for one in waiting]
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print("| | steps | " + " | ".join(FIGURES) + " |\n|---|" + "---|" * (1 + len(FIGURES)))
    for name in found[0]:
        rows = [one[name] for one in found]
        cells = [_spread([row[key] for row in rows]) for key in FIGURES]
        print(f"| {name} | {fmean(row['steps'] for row in rows):.0f} | " + " | ".join(cells) + " |")


def _spread(values: list[float]) -> str:
    return f"{fmean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def measured(base: Path, folder: Path, seed: int, seconds: float) -> dict[str, dict[str, float]]:
    """Every way and kind from one half-trained adapter, and that adapter."""
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    kept = Kept(folder / "figures.jsonl")
    if not (folder / "half").exists():
        # A first go may have been ended.
        half_trained(base, Path(tempfile.mkdtemp(dir=folder)), seed)[0].rename(folder / "half")
    if not (folder / "judgments").exists():
        judgments_artifact(folder / "judgments", rule.examples(100 + seed, queries=160))
    kept("half-trained", lambda: {"steps": 0.0, **tried(open_artifact(folder / "half"))})
    for kind, more in KINDS.items():
        for way, grade in WAYS.items():
            name = f"{way} ({kind})"
            given = {
                "judgments": folder / "judgments",
                "adapter": folder / "half",
                "seed": seed,
                "grade": grade,
                **more,
            }
            kept(name, partial(figures, given, seconds))
    return kept.known


class Kept:
    """Figures by name, on disk as they come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        self.known: dict[str, dict[str, float]] = dict(json.loads(line) for line in lines)

    def __call__(self, name: str, measure: Callable[[], dict[str, float]]) -> None:
        """Measure what is not known."""
        if name not in self.known:
            self.known[name] = measure()
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([name, self.known[name]]) + "\n")


def figures(given: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """Refine for so many seconds; what the adapter is then."""
    with tempfile.TemporaryDirectory() as scratch:
        artifact = refined(given, seconds, Path(scratch) / "rl")
        return {"steps": float(artifact.manifest["counts"]["steps"]), **tried(artifact)}


class Limit(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Stops a training after so many seconds of its processor time, loading aside."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.began = seconds, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self.began = time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look at it."""
        control.should_training_stop = time.process_time() - self.began >= self.seconds


def refined(given: Mapping[str, Any], seconds: float, place: Path) -> Artifact:
    """Refine for so many seconds of processor time."""
    recipe = {
        "stage": "rl",
        "documents_per_query": 3,
        "collapse_detection": {"enabled": False},
        # The last adapter is kept where nothing is tried on the way.
        "validation": {"questions": 0},
        "trainer": {
            "learning_rate": 1.0e-3,
            "max_steps": 10_000,
            "num_generations": 8,
            "per_device_train_batch_size": 96,
            "max_grad_norm": 0.5,
            "scale_rewards": "batch",
            "gradient_checkpointing": False,
            "save_strategy": "no",
        },
    }

    def limited(*args: Any, **kwargs: Any) -> Any:
        trainer = prepare(*args, **kwargs)
        trainer.add_callback(Limit(seconds))
        return trainer

    with mock.patch.object(grpo, "prepare", limited):
        return rl.run(RlJudge.model_validate({**recipe, **given}), place)


def tried(artifact: Artifact) -> dict[str, float]:
    """The figures of an adapter on the held-out queries."""
    base = find_model(str(artifact.manifest["base"]))
    encoder = PromptEncoder(load_tokenizer(base), PromptSettings.model_validate(artifact.manifest["prompt"]))
    model = with_adapter(load_model(base), artifact.path / "adapter")
    figures = AnswerTrial(encoder, HELD_OUT, order="grade_first", tokens=16, explained=0)(model)
    return {name: figures[name] for name in FIGURES}


if __name__ == "__main__":
    main()
