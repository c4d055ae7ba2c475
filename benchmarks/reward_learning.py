"""Whether a reward model learns what a good explanation is, and GRPO learns it from the reward model; with controls.

    python benchmarks/reward_learning.py --work DIR --seeds 3 [--rounds 2] [--steps 30] [--json FILE]
    python benchmarks/reward_learning.py --work DIR --seeds 1 --steps 0 --shuffles 20

On the tests' tiny model and relevance rule (run it from the repository's root), in which a good explanation names what
decides the grade, and a program plays the teacher who marks (`tests/support/explaining.py`). A student is distilled
from explanations of which a quarter are good. `generate` has what it writes marked beside made faults, `reward` learns
the marks, and `rl` refines the student by them. In each further round what the refined policy writes is marked as
well, the reward model learns earlier and fresh marks, and `rl` begins with the student anew. Controls: the last
round's marks dealt out anew among each document's explanations; the old rewards, for quotes and brevity, of before
there were reward models; what recipes pay for without one today, stance and support. Each adapter is tried on 100
other questions: the mean of the program's marks of what it writes for the grade that it gives, and nDCG@10, both with
the difference to the student and its 95% interval over questions. The base has learned to proofread
(`tests/support/proofreading.py`). The accuracy is of kinds of text that were learned; the one left out is told apart.

A reward model of marks dealt out anew orders kinds of texts in some way of its own, so that one deal says little:
`--shuffles` trains one of each of so many deals, from initial weights of its own, and tells the mean over deals with
its 95% interval, and what goes with a deal's accuracy. `--steps 0` leaves GRPO out.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import correlation, fmean, stdev
from typing import Any

import numpy
import torch
from scipy.stats import t as student_t

from benchmarks.algorithms import Kept
from interank.artifact import open_artifact
from interank.engines.reward_adapter import Explanation, open_reward
from interank.explanations import ExplanationRow, Fault, read_explanations
from interank.ir.measures import score_run
from interank.ir.significance import Sample
from interank.judgments import read_judgments
from interank.recipe import GenerateRecipe
from interank.reranking.reranker import Reranker
from interank.settings import LoraRecipe
from interank.stages import distill, generate, reward, rl
from interank.tasks.head.reward_model.comparisons import comparisons, dealt_anew, marked
from interank.tasks.head.reward_model.figures import HeldOutScores, key_of
from interank.tasks.judge.recipe import DistillJudge, RlJudge
from interank.types import Qrel, Run, ScoredDoc, grouped
from tests.support import explaining, marked_explanations, rule
from tests.support.artifacts import judgments_artifact
from tests.support.proofreading import proofreading_base
from tests.support.rule_model import PROMPT
from tests.support.stub import Stub, serving

HELD_OUT = rule.examples(999, queries=100, documents=5, split="validation")
# nDCG@10 does not fall where its difference's interval ends above minus this; set before anything was run.
MARGIN = 0.02
GOOD = 0.25
LEFT_OUT: tuple[Fault, ...] = ("padding",)
QUESTIONS = 200
TOKENS = 40
# What a teacher reads, in characters a token.
ASKED = {"order": "grade_first", "max_length": 600, "max_query_tokens": 64, "max_document_tokens": 64}
RANKING: list[dict[str, Any]] = [{"use": "ranking", "weight": 0.5}]
# As recipes had it before stance, support and reward models, in this rule's lengths.
OLD: list[dict[str, Any]] = [
    {"use": "faithfulness"},
    {"use": "well_formed"},
    {"use": "brevity", "weight": 0.5, "params": {"soft": 12, "hard": 24}},
    {"use": "language", "weight": 0.2},
]
# As recipes have it without a reward model.
UNMARKED: list[dict[str, Any]] = [{"use": "stance", "weight": 1.5}, {"use": "support", "weight": 1.5}, *OLD[1:3]]
TRAINER = {
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "gradient_checkpointing": False,
    "save_strategy": "no",
    "logging_steps": 50,
}
LORA = LoraRecipe(rank=16, alpha=32)
# Above half a mark an explanation names all that decides, claims nothing false, and is no longer than it need be.
FAIR = 0.5
LEAST = 0.1
DEALT = "marks dealt out anew, deal "


def main() -> None:
    """Measure, print, and write; what is measured already is read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="goes on with what is there")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=1, help="a seed each")
    parser.add_argument("--rounds", type=int, default=2, help="how often a policy's words are marked")
    parser.add_argument("--steps", type=int, default=30, help="of GRPO; 0 has none")
    parser.add_argument("--shuffles", type=int, default=0, help="reward models of marks dealt out anew, a seed")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(exist_ok=True)
    base = options.work / "base"
    if not base.exists():
        proofreading_base(options.work / "making").rename(base)
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(measured, base, options.work / str(seed), seed, options) for seed in range(options.seeds)
        ]
        found = [one.result() for one in waiting]
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print(told(found))


def told(found: Sequence[dict[str, dict[str, float]]]) -> str:
    """The figures of all seeds as tables; the deals of all seeds together."""
    lines = []
    for name in found[0]:
        if name.startswith(DEALT):
            continue
        lines.append(f"{name}:")
        for key in found[0][name]:
            values = [one[name][key] for one in found]
            spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
            lines.append(f"    {key}: {fmean(values):.3f}{spread} ({', '.join(f'{value:.3f}' for value in values)})")
    deals = [own for one in found for name, own in one.items() if name.startswith(DEALT)]
    return "\n".join([*lines, *(over_deals(deals) if len(deals) > 2 else [])])


def over_deals(deals: Sequence[dict[str, float]]) -> list[str]:
    """The means over deals with their intervals, by Student's t, and what goes with the accuracy (Pearson)."""
    lines = [f"marks dealt out anew, {len(deals)} deals:"]
    accuracy = [own["accuracy"] for own in deals]
    factor = float(student_t.ppf(0.975, len(deals) - 1)) / math.sqrt(len(deals))
    for key in deals[0]:
        values = [own[key] for own in deals]
        half, spread = factor * stdev(values), stdev(values)
        goes = ""
        if key != "accuracy" and spread > 1e-9:
            goes = f"; with accuracy {correlation(accuracy, values):+.2f}"
        bounds = f"({fmean(values) - half:.3f} to {fmean(values) + half:.3f})"
        lines.append(
            f"    {key}: {fmean(values):.3f} {bounds}, a deal's standard deviation {spread:.3f}, "
            f"{min(values):.3f} to {max(values):.3f}{goes}"
        )
    return lines


def measured(base: Path, folder: Path, seed: int, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The reward models' accuracy, and what each refinement makes of one student."""
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    kept = Kept(folder / "figures.jsonl")
    student = distilled(base, folder, seed)
    place = folder / "judged"
    if not place.exists():
        examples = marked_explanations.judged(queries=QUESTIONS, held_out=40, seed=seed)
        judgments_artifact(place, [explaining.explained(item) for item in examples])
    if options.steps:
        place = refinements(kept, base, student, place, options)
    else:
        place = explained(place, student, folder / "explained-1", seed)
        model = reward_model(base, place, folder / "reward-1", seed)
        kept("reward model, round 1", partial(accuracies, model, place))
    for number in range(options.shuffles):
        deal = 100 * (number + 1) + seed
        kept(f"{DEALT}{deal}", partial(shuffled, base, place, folder, deal))
    return kept.known


def refinements(kept: Kept, base: Path, student: Path, place: Path, options: argparse.Namespace) -> Path:
    """Rounds of marks, reward model and GRPO, and GRPO by the controls; the explanations of the last round."""
    folder, seed, steps = student.parent, int(student.parent.name), options.steps
    start, policy = tried(student), student
    kept("distilled", partial(figures, start, start, seed))
    for number in range(1, options.rounds + 1):
        place = explained(place, policy, folder / f"explained-{number}", seed)
        model = reward_model(base, place, folder / f"reward-{number}", seed)
        kept(f"reward model, round {number}", partial(accuracies, model, place))
        policy = refined(student, folder, f"rl-{number}", [*RANKING, _quality(model)], steps, seed)
        kept(f"GRPO, round {number}", lambda policy=policy: figures(tried(policy), start, seed))
    twin = reward_model(base, dealt(place, folder, seed), folder / "reward-dealt", seed)
    kept("reward model, marks dealt out anew", partial(accuracies, twin, place))
    controls = {
        "GRPO, marks dealt out anew": [*RANKING, _quality(twin)],
        "GRPO, old rewards (quotes and brevity)": [*RANKING, *OLD],
        "GRPO, stance and support": [*RANKING, *UNMARKED],
    }
    for number, (name, rewards) in enumerate(controls.items()):
        of = partial(refined, student, folder, f"control-{number}", rewards, steps, seed)
        kept(name, lambda of=of: figures(tried(of()), start, seed))
    return place


def _quality(model: Path) -> dict[str, Any]:
    return {"use": "explanation_quality", "params": {"model": str(model)}}


def explained(judgments: Path, policy: Path, out: Path, seed: int) -> Path:
    """The judgments' explanations, two of the policy's own, and faults, as the program marks them over HTTP."""
    if out.exists():
        return out
    stub = Stub(explaining.answer)
    with serving(stub):
        server = {"urls": [stub.url], "api": "chat", "in_flight": 2}
        recipe = {
            "stage": "generate",
            "prompt": ASKED,
            "judgments": str(judgments),
            "teacher": {"model": "program", "engine": "openai", "grades": "given", "server": server},
            "explanations": {"samples": 1, "student": str(policy), "temperature": 1.0, "max_tokens": TOKENS}
            | {"seed": seed},
        }
        return generate.run(GenerateRecipe.model_validate(recipe), out).path


def dealt(explanations: Path, folder: Path, seed: int) -> Path:
    """The same explanations with each document's marks on others of it; those that are held out keep theirs."""
    place = folder / f"dealt-{seed}"
    if not place.exists():
        rows = read_explanations(explanations)
        train = dealt_anew([row for row in rows if row.split == "train"], seed)
        own = [*train, *(row for row in rows if row.split == "validation")]
        marked_explanations.artifact_of(place, read_judgments(explanations), own)
    return place


def reward_model(base: Path, explanations: Path, out: Path, seed: int) -> Path:
    """Of the marks that the explanations have."""
    if out.exists():
        return out
    recipe = marked_explanations.recipe_of(
        base,
        explanations,
        seed=seed,
        controls=False,
        lora=LORA,
        left_out=LEFT_OUT,
        trainer={**TRAINER, "learning_rate": 3.0e-3, "per_device_train_batch_size": 16, "max_steps": 200},
    )
    return reward.run(recipe, out).path


def shuffled(base: Path, explanations: Path, folder: Path, deal: int) -> dict[str, float]:
    """The accuracy of one that learned another deal, and what may explain it."""
    learned = dealt(explanations, folder, deal)
    place = reward_model(base, learned, folder / f"reward-dealt-{deal}", deal)
    report = json.loads((place / "report.json").read_text("utf-8"))
    return {
        "accuracy": report["accuracy"]["trained"]["mean"],
        "of one length": report["length_matched"]["trained"]["mean"],
        "untrained, of the same initial weights": report["accuracy"]["untrained"]["mean"],
        "rho with length": report["length_correlation"]["trained"]["mean"],
        "by the mean mark that the deal gave each kind": by_kind_alone(read_explanations(learned)),
        "by the mean difference in length of its pairs": by_length_alone(read_explanations(learned)),
        **{kind: shares["trained"]["mean"] for kind, shares in report["by_kind"].items()},
    }


def by_kind_alone(rows: Sequence[ExplanationRow]) -> float:
    """The held-out accuracy of scores that know of an explanation who wrote it and its kind."""
    marks: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in marked([row for row in rows if row.split == "train"], LEFT_OUT):
        marks[row.writer, row.kind].append(float(row.mark or 0.0))
    every = fmean(value for own in marks.values() for value in own)
    means = {kind: fmean(own) for kind, own in marks.items()}
    return _accuracy(rows, {key_of(row): means.get((row.writer, row.kind), every) for row in rows})


def by_length_alone(rows: Sequence[ExplanationRow]) -> float:
    """The held-out accuracy of the direction, longer or shorter, in which the deal's better texts mostly differ."""
    train = marked([row for row in rows if row.split == "train"], LEFT_OUT)
    sign = fmean(len(pair.better.explanation) - len(pair.worse.explanation) for pair in comparisons(train, least=LEAST))
    return _accuracy(rows, {key_of(row): math.copysign(1.0, sign) * len(row.explanation) for row in rows})


def _accuracy(rows: Sequence[ExplanationRow], scores: dict[str, float]) -> float:
    held_out = HeldOutScores(
        marked([row for row in rows if row.split == "validation"]), least=LEAST, longer=True, seed=0
    )
    share = held_out.accuracy(held_out.compared, lambda row: scores[key_of(row)])
    assert share is not None
    return float(share["mean"])


def accuracies(model: Path, explanations: Path) -> dict[str, float]:
    """On held-out questions: of pairs of learned kinds and of all, by kind of fault, and what needs no training."""
    report = json.loads((model / "report.json").read_text("utf-8"))
    rows = marked([row for row in read_explanations(explanations) if row.split == "validation"])
    texts = [Explanation(row.query, row.document, row.explanation) for row in rows]
    scores = dict(zip(map(key_of, rows), open_reward(model)(texts), strict=True))
    held_out = HeldOutScores(marked(rows, LEFT_OUT), least=LEAST, longer=True, seed=0)
    own = held_out.accuracy(held_out.compared, lambda row: scores[key_of(row)])
    assert own is not None
    found = {"accuracy": own["mean"], "accuracy, low": own["low"], "accuracy, high": own["high"]}
    found["with the kinds left out"] = report["accuracy"]["trained"]["mean"]
    found |= {name: report["accuracy"][name]["mean"] for name in ("untrained", "length alone")}
    found["of one length"] = report["length_matched"]["trained"]["mean"]
    return found | {kind: told["trained"]["mean"] for kind, told in report["by_kind"].items()}


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
    recipe = {
        "stage": "distill",
        "judgments": judgments_artifact(folder / "taught", examples),
        "student": str(base),
        "seed": seed,
        "prompt": PROMPT,
        "mixture": {"explain": 1.0},
        "loss": {"tokens": 1.0, "grade": 0.5},
        "lora": LORA,
        "documents_per_group": 6,
        "trainer": {**TRAINER, "learning_rate": 5.0e-3, "per_device_train_batch_size": 3, "max_steps": 180},
    }
    return distill.run(DistillJudge.model_validate(recipe), place).path


def refined(student: Path, folder: Path, name: str, rewards: Sequence[dict[str, Any]], steps: int, seed: int) -> Path:
    """The student after GRPO by these rewards; the last step's adapter."""
    if (folder / name).exists():
        return folder / name
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
            # As they are: where the marks of what is written hardly differ, as a twin's, `beta` holds the policy.
            "scale_rewards": "none",
            "learning_rate": 1.0e-3,
            "beta": 0.04,
            "max_steps": steps,
            "gradient_checkpointing": False,
            "save_strategy": "no",
            "logging_steps": 5,
        },
    }
    return rl.run(RlJudge.model_validate(recipe), folder / name).path


def tried(adapter: Path) -> dict[str, tuple[float, float, float]]:
    """Of each held-out question the program's mean mark of what is written, the share over a half, and nDCG@10."""
    open_artifact(adapter, "adapter")
    reranker = Reranker(adapter)
    marks: dict[str, list[float]] = {}
    scored = []
    for name, items in grouped(HELD_OUT, lambda item: item.query.query_id).items():
        query, documents = items[0].query, [item.document for item in items]
        own = marks.setdefault(name, [])
        for item in reranker.rank(query, documents, explain=len(documents)):
            grade, text = int(item.relevance), item.explanation
            own.append(0.0 if text is None else explaining.mark(query.text, item.document.full_text, grade, text))
            scored.append(ScoredDoc(name, item.document.doc_id, item.score))
    qrels = [Qrel(i.query.query_id, i.document.doc_id, int(i.judgment.relevance)) for i in HELD_OUT]
    ndcg = score_run(qrels, Run.from_scores(scored, tag="t")).per_query["nDCG@10"]
    return {name: (fmean(own), fmean(each > FAIR for each in own), ndcg[name]) for name, own in marks.items()}


def figures(
    own: dict[str, tuple[float, float, float]], start: dict[str, tuple[float, float, float]], seed: int
) -> dict[str, float]:
    """The means, and mark and nDCG less the student's with their intervals."""
    values = numpy.array([own[name] for name in own])
    before = numpy.array([start[name] for name in own])
    found = {name: float(mean) for name, mean in zip(("mark", "good", "nDCG@10"), values.mean(0), strict=True)}
    gains = Sample([len(own)], seed=seed).intervals(values - before)
    for name, gain in (("mark", gains[0]), ("nDCG@10", gains[2])):
        found |= {f"{name} gained": gain.mean, f"{name} gained, low": gain.low, f"{name} gained, high": gain.high}
    return found | {"mark rises": float(gains[0].low > 0), "nDCG@10 does not fall": float(gains[2].low > -MARGIN)}


if __name__ == "__main__":
    main()
