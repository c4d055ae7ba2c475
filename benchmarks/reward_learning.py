"""Whether a reward model learns what a good explanation is, and GRPO learns it from the reward model; with controls.

    python benchmarks/reward_learning.py --work DIR --seeds 3 [--first-seed 3] [--steps 30] [--json FILE]
    python benchmarks/reward_learning.py --work DIR --seeds 1 --steps 0 --shuffles 20

On the tests' tiny model and relevance rule (run it from the repository's root), in which a good explanation names what
decides the grade, and a program plays the teacher who marks (`tests/support/explaining.py`). A student is distilled
from explanations of which a half are good, so that its mark can fall as well as rise. `generate` has what it writes
marked beside made faults, `reward` learns the marks, and `rl` refines the student by them. Controls: the marks dealt
out anew among each document's explanations; the old rewards, for quotes and brevity, of before there were reward
models; what recipes pay for without one today, stance and support; the grades alone, for which all the others are paid
alike. Each adapter is tried on other questions: the mean of the program's marks of texts that it writes, at temperature
1, for the grade that it gives (150 questions) and nDCG@10 (800), both with the difference to the student and its 95%
interval over questions. The base has learned to proofread (`tests/support/proofreading.py`). The accuracy is of kinds
of text that were learned; the one left out is told apart.

A reward model of marks dealt out anew orders kinds of texts in some way of its own, so that one deal says little. So
one learns TIMES deals together, in which such preferences mostly cancel. `--shuffles` has so many single deals for each
seed as well, each with a reward model of initial weights of its own, and GRPO by each; they are told one by one, in the
mean of a seed, and over all seeds with the mean's 95% interval and what goes with a deal's accuracy and gain. `--steps
0` has reward models alone, without the deals that are learned together.

What counts: the mark rises where its gain's interval lies above SMALLEST_GAIN. A control does not rise where its gain's
interval does not, and lies below half of the reward model's gain as well, so that no wide interval passes. Single deals
are held to it by the interval over the deals of all seeds. nDCG@10 does not fall where its difference's interval lies
above minus MARGIN. It was set before any seed that is told; the deals that are learned together came in when seed 3 was
known, and the interval over deals when two deals of each seed were.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from statistics import correlation, fmean, stdev
from typing import Any, NamedTuple

import numpy
import torch
from scipy.stats import t as student_t

from benchmarks.algorithms import Kept
from interank import judging
from interank.engines.judge import explain, grade
from interank.engines.protocol import Sampling
from interank.engines.reward_adapter import Explanation, open_reward
from interank.explanations import ExplanationRow, Fault, read_explanations
from interank.ir.measures import score_run
from interank.ir.significance import Interval, Sample
from interank.judgments import read_judgments
from interank.recipe import GenerateRecipe
from interank.settings import LoraRecipe
from interank.stages import distill, generate, reward, rl
from interank.tasks.head.reward_model.comparisons import comparisons, dealt_anew, marked
from interank.tasks.head.reward_model.figures import HeldOutScores, key_of
from interank.tasks.judge.ranker import load_judge
from interank.tasks.judge.recipe import DistillJudge, RlJudge
from interank.tasks.ranker_settings import RankerSettings
from interank.types import Qrel, Run, ScoredDoc
from tests.support import explaining, marked_explanations, rule
from tests.support.artifacts import judgments_artifact
from tests.support.proofreading import proofreading_base
from tests.support.rule_model import PROMPT
from tests.support.stub import Stub, serving

HELD_OUT = rule.examples(999, queries=800, documents=5, split="validation")
# The first so many of these questions have explanations written, which takes most of the time.
EXPLAINED = 150
# Texts of each of their documents, drawn at temperature 1, as generate and rl draw them.
SAMPLES = 3
MARGIN = 0.02
SMALLEST_GAIN = 0.02
GOOD = 0.5
LEFT_OUT: tuple[Fault, ...] = ("padding",)
QUESTIONS = 140
TOKENS = 40
# What a teacher reads, in characters a token.
ASKED = {"order": "grade_first", "max_length": 600, "max_query_tokens": 64, "max_document_tokens": 64}
# As shipped recipes pay for grades.
GRADES: list[dict[str, Any]] = [{"use": "ranking", "weight": 0.75}, {"use": "grade_agreement", "weight": 0.5}]
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
LEARNED = "reward model"
# So many deals in one training.
TIMES = 10
TOGETHER = f"marks dealt out anew {TIMES} times, learned together"
DEALS = "marks dealt out anew, mean of its deals"
DEALT = "marks dealt out anew, deal "
# What else GRPO is paid by, besides grades.
OTHERS: dict[str, list[dict[str, Any]]] = {
    "old rewards (quotes and brevity)": OLD,
    "stance and support": UNMARKED,
    "grades alone": [],
}


def main() -> None:
    """Measure, print, and write; what is measured already is read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="goes on with what is there")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="a seed each")
    parser.add_argument("--steps", type=int, default=30, help="of GRPO; 0 has none")
    parser.add_argument("--shuffles", type=int, default=2, help="deals of marks, a seed")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(exist_ok=True)
    base = options.work / "base"
    if not base.exists():
        proofreading_base(options.work / "making").rename(base)
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        waiting = [pool.submit(measured, base, options.work / str(seed), seed, options) for seed in seeds]
        found = [one.result() for one in waiting]
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print(told(found))


def told(found: Sequence[dict[str, dict[str, float]]]) -> str:
    """The figures of all seeds as tables; the deals of all seeds together."""
    lines = []
    for name in found[0]:
        if DEALT in name:
            continue
        lines.append(f"{name}:")
        for key in found[0][name]:
            values = [one[name][key] for one in found]
            spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
            lines.append(f"    {key}: {fmean(values):.3f}{spread} ({', '.join(f'{value:.3f}' for value in values)})")
    deals = [
        {**own, **one.get(f"GRPO, {name}", {})} for one in found for name, own in one.items() if name.startswith(DEALT)
    ]
    if len(deals) > 2:
        lines += over_deals(deals)
        if gains := [own["mark gained"] for own in deals if "mark gained" in own]:
            learned = fmean(one[f"GRPO, {LEARNED}"]["mark gained"] for one in found)
            lines.append(f"    it does not rise: {float(does_not_rise(*interval(gains), learned)):.3f}")
    return "\n".join(lines)


def over_deals(deals: Sequence[dict[str, float]]) -> list[str]:
    """The means over deals with their intervals, by Student's t, and what goes with accuracy and gain (Pearson)."""
    lines = [f"marks dealt out anew, {len(deals)} deals:"]
    told_of = {name: [own[name] for own in deals] for name in ("accuracy", "mark gained") if name in deals[0]}
    for key in deals[0]:
        values = [own[key] for own in deals]
        (low, high), spread = interval(values), stdev(values)
        goes = "".join(
            f"; with {name} {correlation(other, values):+.2f}"
            for name, other in told_of.items()
            if name != key and spread > 1e-9
        )
        lines.append(
            f"    {key}: {fmean(values):.3f} ({low:.3f} to {high:.3f}), a deal's standard deviation {spread:.3f}, "
            f"{min(values):.3f} to {max(values):.3f}{goes}"
        )
    return lines


def interval(values: Sequence[float]) -> tuple[float, float]:
    """A mean's 95% interval by Student's t."""
    half = float(student_t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def does_not_rise(low: float, high: float, learned: float) -> bool:
    """Whether a control's gain, by its interval, is none, beside what the reward model's marks bring."""
    return low <= SMALLEST_GAIN and high < learned / 2


def measured(base: Path, folder: Path, seed: int, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The reward models' accuracy, and what each refinement makes of one student."""
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    kept = Kept(folder / "figures.jsonl")
    student = distilled(base, folder, seed)
    judgments = folder / "judged"
    if not judgments.exists():
        examples = marked_explanations.judged(queries=QUESTIONS, held_out=30, seed=seed)
        judgments_artifact(judgments, [explaining.explained(item) for item in examples])
    place = explained(judgments, student, folder / "explained", seed)
    model = reward_model(base, place, folder / "reward", seed)
    kept(LEARNED, partial(accuracies, model, place))
    twins = {TOGETHER: range(1000 + 100 * seed, 1000 + 100 * seed + TIMES)} if options.steps else {}
    for deal in range(100 + seed, 100 * (options.shuffles + 1), 100):
        twins[f"{DEALT}{deal}"] = range(deal, deal + 1)
    for name, deals in twins.items():
        kept(name, partial(shuffled, base, place, folder, deals))
    if not options.steps:
        return kept.known
    models = {name: folder / f"reward-dealt-{deals[0]}" for name, deals in twins.items()}
    refinements(kept, student, {LEARNED: model, **models}, options.steps)
    return {**kept.known, "what holds": holding(kept.known)}


def refinements(kept: Kept, student: Path, models: Mapping[str, Path], steps: int) -> None:
    """What GRPO gains by each reward model and by the other controls, and by the deals in the mean."""
    folder, seed = student.parent, int(student.parent.name)
    start = tried(student)
    kept("distilled", partial(figures, start, start, seed))
    quality = {
        name: [{"use": "explanation_quality", "params": {"model": str(model)}}] for name, model in models.items()
    }
    # Single deals last.
    paid = dict(sorted({**quality, **OTHERS}.items(), key=lambda entry: entry[0].startswith(DEALT)))
    ways = {
        name: partial(refined, student, folder, f"rl, {name}", [*GRADES, *rewards], steps, seed)
        for name, rewards in paid.items()
    }
    for name, way in ways.items():
        kept(f"GRPO, {name}", partial(gained, [way], start, seed))
    if deals := [way for name, way in ways.items() if name.startswith(DEALT)]:
        kept(f"GRPO, {DEALS}", partial(gained, deals, start, seed))


def gained(ways: Sequence[Callable[[], Path]], start: Tried, seed: int) -> dict[str, float]:
    """The figures of a refined student, or of several in the mean."""
    own = [tried(way()) for way in ways]
    marks = {
        name: (fmean(each.marks[name][0] for each in own), fmean(each.marks[name][1] for each in own))
        for name in start.marks
    }
    return figures(Tried(marks, {name: fmean(each.ndcg[name] for each in own) for name in start.ndcg}), start, seed)


def holding(known: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """1 for each of what was set before that holds on a seed, else 0."""
    learned = known[f"GRPO, {LEARNED}"]
    found = {
        "accuracy over .9": known[LEARNED]["accuracy"] > 0.9,
        f"{TOGETHER}: accuracy within .1 of .5": abs(known[TOGETHER]["accuracy"] - 0.5) <= 0.1,
        "the mark rises": learned["mark gained, low"] > SMALLEST_GAIN,
    }
    for name in (TOGETHER, *OTHERS):
        own = known[f"GRPO, {name}"]
        ends = own["mark gained, low"], own["mark gained, high"]
        found[f"{name}: it does not rise"] = does_not_rise(*ends, learned["mark gained"])
    found["nDCG@10 does not fall"] = learned["nDCG@10 gained, low"] > -MARGIN
    return {name: float(holds) for name, holds in found.items()}


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


def dealt(explanations: Path, folder: Path, deals: Sequence[int]) -> Path:
    """The explanations once a deal, with each document's marks on others of it; those that are held out keep theirs."""
    place = folder / f"dealt-{deals[0]}"
    if not place.exists():
        rows = read_explanations(explanations)
        train = [row for row in rows if row.split == "train"]
        own = [row for deal in deals for row in dealt_anew(train, deal)]
        own += [row for row in rows if row.split == "validation"]
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
        trainer={**TRAINER, "learning_rate": 3.0e-3, "per_device_train_batch_size": 16, "max_steps": 180},
    )
    return reward.run(recipe, out).path


def shuffled(base: Path, explanations: Path, folder: Path, deals: Sequence[int]) -> dict[str, float]:
    """The accuracy of one that learned other deals, and what may explain it."""
    learned = dealt(explanations, folder, deals)
    place = reward_model(base, learned, folder / f"reward-dealt-{deals[0]}", deals[0])
    report = json.loads((place / "report.json").read_text("utf-8"))
    return accuracies(place, explanations) | {
        "the teacher's above the student's own": report["style"]["teacher_above_student"]["mean"],
        "rho with length": report["length_correlation"]["trained"]["mean"],
        "by the mean mark that the deal gave each kind": by_kind_alone(read_explanations(learned)),
        "by the mean difference in length of its pairs": by_length_alone(read_explanations(learned)),
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
        "grade": {"gradient": "exact", "calibration": 0.1},
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


class Tried(NamedTuple):
    """Of held-out questions: the mean mark and the share over a half, where explanations are asked for; nDCG@10."""

    marks: dict[str, tuple[float, float]]
    ndcg: Mapping[str, float]


@cache
def tried(adapter: Path) -> Tried:
    """What an adapter writes and how it ranks."""
    loaded = load_judge(RankerSettings(model=str(adapter), mode="explain"))
    engine, encoder = loaded.engine, loaded.encoder
    prompts = [encoder.prompt(i.query, i.document, answer_tokens=TOKENS, order="grade_first") for i in HELD_OUT]
    logits = [own.logits for own in grade(engine, encoder, prompts)]
    grades = [judging.most_probable(own) for own in logits]
    names = list(dict.fromkeys(item.query.query_id for item in HELD_OUT))[:EXPLAINED]
    places = [place for place, item in enumerate(HELD_OUT) if item.query.query_id in names] * SAMPLES
    sampling = Sampling(TOKENS, temperature=1.0)
    written = explain(engine, encoder, [prompts[i] for i in places], [grades[i] for i in places], sampling)
    marks = defaultdict(list)
    for place, completion in zip(places, written, strict=True):
        query, document = HELD_OUT[place].query, HELD_OUT[place].document.full_text
        text = encoder.text(completion.ids).strip()
        marks[query.query_id].append(explaining.mark(query.text, document, int(grades[place]), text))
    scored = [
        ScoredDoc(item.query.query_id, item.document.doc_id, judging.score(own))
        for item, own in zip(HELD_OUT, logits, strict=True)
    ]
    qrels = [Qrel(i.query.query_id, i.document.doc_id, int(i.judgment.relevance)) for i in HELD_OUT]
    ndcg = score_run(qrels, Run.from_scores(scored, tag="t")).per_query["nDCG@10"]
    return Tried({name: (fmean(own), fmean(mark > FAIR for mark in own)) for name, own in marks.items()}, ndcg)


def figures(own: Tried, start: Tried, seed: int) -> dict[str, float]:
    """The means, and mark and nDCG less the student's with their intervals."""
    found = {
        "mark": fmean(mark for mark, _ in own.marks.values()),
        "good": fmean(good for _, good in own.marks.values()),
        "nDCG@10": fmean(own.ndcg.values()),
    }
    mark = _gain([own.marks[name][0] - start.marks[name][0] for name in own.marks], seed)
    ndcg = _gain([own.ndcg[name] - start.ndcg[name] for name in own.ndcg], seed)
    for name, gain in (("mark", mark), ("nDCG@10", ndcg)):
        found |= {f"{name} gained": gain.mean, f"{name} gained, low": gain.low, f"{name} gained, high": gain.high}
    return found


def _gain(differences: Sequence[float], seed: int) -> Interval:
    return Sample([len(differences)], seed=seed).intervals(numpy.array(differences)[:, None])[0]


if __name__ == "__main__":
    main()
