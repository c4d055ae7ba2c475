"""What attacks on the judge gain on SmolLM2-135M before and after it was trained against others of their kind.

    python benchmarks/injection.py train --work DIR --share 0 [--questions 100]
    python benchmarks/injection.py train --work DIR --share 0.5 [--questions 100]
    python benchmarks/injection.py report --work DIR --benchmark DIR [--split test] --json FILE

INTERANK_REAL_DATA names the folder with `stackexchange/SITE`. Both students learn the same pairs, graded by votes as in
`distill_quality.py`; one is also shown a share of the irrelevant documents with an attack in them, drawn from the
templates for practice (`attacked_negatives`). Then every template is planted in irrelevant documents of the benchmark,
and what those gain is told apart for the templates that training saw and those it did not. `interank attack` does the
same for any one model.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy
import torch
from distill_quality import PROMPT, SEED, STUDENT, judged

from interank.diagnosis.attacks import AttackOutcome, gains
from interank.ir.significance import Sample
from interank.settings import LoraRecipe
from interank.settings.student import LossRecipe, MixtureRecipe, ValidationRecipe
from interank.stages import distill
from interank.stages.attack import AttackPlan, attack
from interank.tasks.judge.recipe import DistillJudge

SHARES = ("0", "0.5")


def main() -> None:
    """Train one student, or attack both."""
    options = arguments()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.step == "train":
        train(options)
    else:
        report(options)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--work", type=Path, required=True, metavar="DIR", help="judgments and adapters; kept")
    common.add_argument("--threads", type=int, default=1)
    teach = steps.add_parser("train", parents=[common], help="train one student")
    teach.add_argument("--share", choices=SHARES, required=True, help="of the irrelevant documents, attacked")
    teach.add_argument("--questions", type=int, default=100)
    table = steps.add_parser("report", parents=[common], help="attack both, and compare")
    table.add_argument("--benchmark", type=Path, required=True, metavar="DIR")
    table.add_argument("--split")
    table.add_argument("--queries", type=int, default=20)
    table.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def train(options: argparse.Namespace) -> None:
    """Distill a student; both take the same steps over the same questions."""
    # The same name for both, so that the second finds what the first mined.
    options.labels = "true"
    recipe = DistillJudge(
        stage="distill",
        judgments=judged(options),
        student=STUDENT,
        seed=SEED,
        precision="bfloat16",
        prompt=PROMPT,
        mixture=MixtureRecipe(score=1.0),
        loss=LossRecipe(tokens=1.0, listwise=1.0),
        lora=LoraRecipe(rank=32, alpha=64),
        validation=ValidationRecipe(questions=0),
        attacked_negatives=float(options.share),
        # A question's documents in one group, attacked ones included, so that the number of steps is the same.
        documents_per_group=16,
        trainer={
            "learning_rate": 5.0e-4,
            "num_train_epochs": 1.0,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 1,
            "gradient_checkpointing": False,
            "max_grad_norm": 1.0,
            "save_steps": 5,
            "logging_steps": 5,
        },
    )
    distill.run(recipe, options.work / f"attacked-{options.share}", existing="resume")


def report(options: argparse.Namespace) -> None:
    """What each gains, and the paired difference on templates that training has not seen."""
    planned = AttackPlan(
        options.benchmark,
        split=options.split,
        queries=options.queries,
        precision="bfloat16",
        guards=("none",),
        seed=SEED,
    )
    tried = {share: attack(str(options.work / f"attacked-{share}"), planned) for share in SHARES}
    figures: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "gains": {share: [asdict(gain) for gain in gains(items, seed=SEED)] for share, items in tried.items()},
        "trained_less_not": {
            f"{part}, {guard}": less(tried["0.5"], tried["0"], part, guard)
            for part in ("practice", "held_out", "control")
            for guard in planned.guards
        },
    }
    text = json.dumps(figures, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


def less(one: list[AttackOutcome], other: list[AttackOutcome], part: str, guard: str) -> dict[str, float]:
    """The places that attacks gain on one less those on the other, by query, with interval and p."""
    means = []
    for items in (one, other):
        by_query: dict[str, list[int]] = {}
        for item in items:
            if (item.part, item.guard) == (part, guard):
                by_query.setdefault(item.query_id, []).append(item.gain)
        means.append(numpy.array([fmean(found) for found in by_query.values()]))
    differences = (means[0] - means[1])[:, None]
    sample = Sample([len(differences)], seed=SEED)
    [interval], [p] = sample.intervals(differences), sample.p_values(differences)
    return {**{name: round(value, 3) for name, value in asdict(interval).items()}, "p": round(p, 5)}


if __name__ == "__main__":
    main()
