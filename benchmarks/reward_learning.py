"""Whether a reward model learns what a good explanation is, and GRPO learns it from the reward model; with controls.

    python benchmarks/reward_learning.py --work DIR --seeds 3 [--steps 40] [--moving] [--json FILE]

On the tests' tiny model and relevance rule (run it from the repository's root), in which a good explanation names what
decides the grade, and a program marks it (`tests/support/explaining.py`). A student is distilled from explanations of
which a quarter are good. A reward model learns the program's marks, a twin marks that were dealt out anew. GRPO refines
the student by the reward model, by the twin, and by rewards that need no model; each is tried on 20 other questions:
the mean of the program's marks of what it writes for the grade that it gives, and nDCG@10. With `--moving` the reward
model also learns marks of what a policy writes that has begun to move, and GRPO is held to its start by `beta`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from benchmarks.algorithms import Kept
from interank.artifact import open_artifact
from interank.explanations import Explained
from interank.ir.measures import score_run
from interank.reranking.reranker import Reranker
from interank.settings import LoraRecipe
from interank.stages import distill, reward, rl
from interank.tasks.head.explained.compared import dealt_anew
from interank.tasks.judge.recipe import DistillJudge, RlJudge
from interank.types import Example, Qrel, Run, ScoredDoc, grouped
from tests.support import explaining, marked, rule
from tests.support.artifacts import judgments_artifact
from tests.support.rule_model import PROMPT, rule_base

HELD_OUT = rule.examples(999, queries=20, documents=5, split="validation")
GOOD = 0.25
LEARNED, LEFT_OUT = ("other_document", "template"), ("minimal_edit", "padding")
TOKENS = 40
RANKING: list[dict[str, Any]] = [{"use": "ranking", "weight": 0.5}]
# As recipes without a reward model have it, in this rule's lengths.
OLD: list[dict[str, Any]] = [
    {"use": "faithfulness"},
    {"use": "well_formed"},
    {"use": "brevity", "weight": 0.5, "params": {"soft": 12, "hard": 24}},
    {"use": "language", "weight": 0.2},
]
TRAINER = {
    "learning_rate": 5.0e-3,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "gradient_checkpointing": False,
    "save_strategy": "no",
    "logging_steps": 50,
}


def main() -> None:
    """Measure, print, and write; what is measured already is read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="goes on with what is there")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2, help="a seed each")
    parser.add_argument("--steps", type=int, default=40, help="of GRPO")
    parser.add_argument("--moving", action="store_true", help="another --work than without it")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(exist_ok=True)
    base = options.work / "base"
    if not base.exists():
        rule_base(options.work / "making").rename(base)
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(measured, base, options.work / str(seed), seed, options.steps, moved=options.moving)
            for seed in range(options.seeds)
        ]
        found = [one.result() for one in waiting]
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print(told(found))


def told(found: Sequence[dict[str, dict[str, float]]]) -> str:
    """The figures of all seeds as tables."""
    lines = []
    for name in found[0]:
        rows = [one[name] for one in found]
        cells = [f"{key} {_spread([row[key] for row in rows])}" for key in rows[0]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    each = ", ".join(f"{value:.3f}" for value in values)
    return f"{fmean(values):.3f}" + (f" ± {stdev(values):.3f} ({each})" if len(values) > 1 else "")


def measured(base: Path, folder: Path, seed: int, steps: int, *, moved: bool) -> dict[str, dict[str, float]]:
    """The reward models' accuracy, and what each refinement makes of one student."""
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    kept = Kept(folder / "figures.jsonl")
    models = {
        name: reward_model(base, folder, seed, shuffled=name == "shuffled", moved=moved)
        for name in ("marks", "shuffled")
    }
    trainer = {"learning_rate": 5.0e-4, "beta": 0.02} if moved else {"learning_rate": 1.0e-3}
    trainer["max_steps"] = steps
    kept("reward model", partial(accuracies, models["marks"], models["shuffled"]))
    student = distilled(base, folder, seed)
    kept("distilled", partial(tried, student))
    ways = {
        "GRPO, reward model": [*RANKING, _quality(models["marks"])],
        "GRPO, reward model of shuffled marks": [*RANKING, _quality(models["shuffled"])],
        "GRPO, rewards without a model": [*RANKING, *OLD],
    }
    for number, (name, rewards) in enumerate(ways.items()):
        kept(
            name, lambda number=number, rewards=rewards: tried(refined(student, folder, number, rewards, trainer, seed))
        )
    return kept.known


def _quality(model: Path) -> dict[str, Any]:
    return {"use": "explanation_quality", "params": {"model": str(model)}}


def reward_model(base: Path, folder: Path, seed: int, *, shuffled: bool, moved: bool) -> Path:
    """Of the program's marks, or of ones dealt out anew among each document's explanations."""
    place = folder / ("shuffled" if shuffled else "marks")
    if place.exists():
        return place
    examples = marked.judged(queries=160, held_out=30, seed=seed)
    rng = random.Random(seed)
    rows = [row for item in examples for row in marked.explanations_of(item, rng)]
    if moved:
        rows += [row for item in examples for row in moving(item, rng)]
    if shuffled:
        train = dealt_anew([row for row in rows if row.split == "train"], seed)
        rows = [*train, *(row for row in rows if row.split == "validation")]
    judgments = marked.artifact_of(folder / f"{place.name}-explained", examples, rows)
    recipe = marked.recipe_of(
        base,
        judgments,
        seed=seed,
        controls=False,
        lora={"rank": 16, "alpha": 32},
        left_out=LEFT_OUT,
        trainer={**TRAINER, "learning_rate": 3.0e-3, "per_device_train_batch_size": 16, "max_steps": 100},
    )
    return reward.run(recipe, place).path


def moving(example: Example, rng: random.Random) -> list[Explained]:
    """What a policy writes that has begun to move, with the program's marks: other names, words out of their order."""
    query, document = example.query.text, example.document.full_text
    good, grade = explaining.good(query, document), int(example.judgment.relevance)
    words = good.split()
    strange = (rng.choice(rule.COLOURS), rng.choice(rule.ANIMALS))
    asked, told = explaining.asked_for(query), explaining.told_of(document)
    texts = [
        rule.spelled_out(strange, told),
        rule.spelled_out(asked, strange),
        " ".join(rng.sample(words, len(words))),
        f"{' '.join(words[: rng.randrange(2, 7)])} {rng.choice(words)} {explaining.poor(query, document)}",
        " ".join(rng.choices([*words, *rule.COLOURS, *rule.ANIMALS], k=rng.randrange(4, 24))),
    ]
    (first, *_) = marked.explanations_of(example, rng)
    return [
        replace(first, explanation=text, writer="student", mark=worth, marks=(worth, worth))
        for text in dict.fromkeys(texts)
        for worth in [explaining.mark(query, document, grade, text)]
    ]


def accuracies(own: Path, shuffled: Path) -> dict[str, float]:
    """Held-out accuracy: a good explanation above one that names nothing and above faults, learned ones and others."""
    marks, twin = (json.loads((place / "report.json").read_text("utf-8")) for place in (own, shuffled))
    found = {"accuracy": _learned(marks, "trained"), "shuffled marks": _learned(twin, "trained")}
    found |= {name: _learned(marks, name) for name in ("untrained", "length alone")}
    return found | {f"{kind}, left out": marks["by_kind"][kind]["trained"]["mean"] for kind in LEFT_OUT}


def _learned(report: dict[str, Any], system: str) -> float:
    """On the kinds of fault that were learned."""
    return fmean(report["by_kind"][kind][system]["mean"] for kind in LEARNED)


def distilled(base: Path, folder: Path, seed: int) -> Path:
    """A student that grades well, and a quarter of whose explanations are good."""
    place = folder / "student"
    if place.exists():
        return place
    rng = random.Random(seed)
    examples = [
        explaining.explained(item, explaining.good if rng.random() < GOOD else explaining.poor)
        for item in rule.examples(seed, queries=240, documents=6)
    ]
    recipe = DistillJudge.model_validate(
        {
            "stage": "distill",
            "judgments": judgments_artifact(folder / "taught", examples),
            "student": str(base),
            "seed": seed,
            "prompt": PROMPT,
            "mixture": {"explain": 1.0},
            "loss": {"tokens": 1.0, "grade": 0.5},
            "lora": LoraRecipe(rank=16, alpha=32),
            "documents_per_group": 6,
            "trainer": {**TRAINER, "per_device_train_batch_size": 3, "max_steps": 180},
        }
    )
    return distill.run(recipe, place).path


def refined(
    student: Path, folder: Path, number: int, rewards: list[dict[str, Any]], trainer: Mapping[str, float], seed: int
) -> Path:
    """The student after GRPO by these rewards; the last step's adapter."""
    judgments = folder / "refined-judgments"
    if not judgments.exists():
        judgments_artifact(judgments, rule.examples(100 + seed, queries=120, documents=4))
    recipe = {
        "stage": "rl",
        "judgments": judgments,
        "adapter": student,
        "seed": seed,
        "max_completion_tokens": TOKENS,
        "documents_per_query": 3,
        "rewards": rewards,
        "validation": {"questions": 0},
        "trainer": {
            "num_generations": 8,
            "per_device_train_batch_size": 48,
            "max_grad_norm": 0.5,
            "scale_rewards": "batch",
            "gradient_checkpointing": False,
            "save_strategy": "no",
            "logging_steps": 5,
            **trainer,
        },
    }
    return rl.run(RlJudge.model_validate(recipe), folder / f"rl-{number}").path


def tried(adapter: Path) -> dict[str, float]:
    """The program's mean mark of what an adapter writes on the held-out questions, and how well it ranks."""
    open_artifact(adapter, "adapter")
    reranker = Reranker(adapter)
    marks, scored, good = [], [], []
    for items in grouped(HELD_OUT, lambda item: item.query.query_id).values():
        query, documents = items[0].query, [item.document for item in items]
        for item in reranker.rank(query, documents, explain=len(documents)):
            grade, text = item.relevance, item.explanation
            worth = 0.0 if text is None else explaining.mark(query.text, item.document.full_text, int(grade), text)
            marks.append(worth)
            good.append(worth > 0.5)
            scored.append(ScoredDoc(query.query_id, item.document.doc_id, item.score))
    qrels = [Qrel(i.query.query_id, i.document.doc_id, int(i.judgment.relevance)) for i in HELD_OUT]
    ndcg = score_run(qrels, Run.from_scores(scored, tag="t")).mean["nDCG@10"]
    return {"mark": fmean(marks), "good": fmean(good), "nDCG@10": ndcg}


if __name__ == "__main__":
    main()
