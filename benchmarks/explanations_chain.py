"""The whole chain on real posts with made faults as marks: a reward model, and what rl gains of it.

    python -m benchmarks.explanations_chain --work DIR [--questions 60] [--threads 1]
        [--distilled 24] [--rewarded 40] [--refined 8] [--explained 15] [--precision bfloat16]

Judgments are made as in `explanations_real.py --words rule`, of texts cut short: grades by votes, a rule's words, made
faults beside them. Then come the commands that a user gives, each a process of its own: distill, reward with its
controls, rl with that reward model, and evaluate of both adapters on the validation questions, whose candidates are the
documents that were judged. No stage tries its adapter on these questions, so none is chosen by them.

The posts are in the folder that INTERANK_REAL_DATA names (`stackexchange/SITE`). A second run goes on where the first
ended, and prints the tables anew.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy
import torch

from benchmarks.explanations_real import explain, in_words_of_a_rule, judge, show
from interank.artifact import Artifact, create, open_artifact
from interank.cards import table
from interank.evaluation.explanation_marks import MARKS
from interank.ir.bm25 import Bm25
from interank.ir.significance import Sample
from interank.ir.trec import write_run
from interank.judgments import read_judgments, write_judgments
from interank.ledger import read_rows
from interank.outputs import write_whole
from interank.splits.content import Content, content_of
from interank.splits.parts import write_benchmarks
from interank.tasks.head.reward_model.card import compared
from interank.types import Run

QUERY_WORDS = 45
DOCUMENT_WORDS = 70
DOCUMENTS = 5
EXPLAINED = 3
# The recipe takes a third of it over some 300 steps.
REWARD_RATE = 1.0e-3
SEED = 7
HELD_OUT = "test"
# What no reward paid for, beside what one did: both read the explanation, neither asks the reward model.
UNPAID = ("stance", "support")
BEFORE, AFTER = "student", "rl"


def main() -> None:
    """Make the data, run the commands, and print what they found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="all outputs; kept, and gone on with")
    parser.add_argument("--questions", type=int, default=60, help="over both sites, a quarter of them held out")
    parser.add_argument("--distilled", type=int, default=24, metavar="STEPS", help="of distill, two questions each")
    parser.add_argument("--rewarded", type=int, default=40, metavar="STEPS", help="of reward, and of its control")
    parser.add_argument("--refined", type=int, default=8, metavar="STEPS", help="of rl, a question each")
    parser.add_argument("--explained", type=int, default=15, metavar="QUESTIONS", help="whose explanations are marked")
    parser.add_argument("--unpaid", nargs="*", default=UNPAID, metavar="REWARD", help="marks that rl did not pay for")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of distill and reward")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    with Seconds(options.work, "judge and explain"):
        explained = explained_posts(options.work, options.questions)
        benchmark, questions = benchmark_of(explained, options.work / "benchmark")
    for stage, recipe, settings in commands(options, explained.path, benchmark, questions):
        ran(options, stage, recipe, settings)
    told(options.work, explained)


class Seconds:
    """Adds what a step took to what it took in earlier runs, unless it was done by then.

    By the clock, and of the processor, which other programs do not lengthen much.
    """

    def __init__(self, work: Path, step: str) -> None:
        self.file, self.step = work / "seconds.json", step

    def __enter__(self) -> None:
        self.began = taken()

    def __exit__(self, error: object, *_: object) -> None:
        known = json.loads(self.file.read_text("utf-8")) if self.file.exists() else {}
        own = known.setdefault(self.step, {"clock": 0.0, "processor": 0.0, "done": False})
        if not own["done"]:
            own |= {name: round(own[name] + now - self.began[name], 1) for name, now in taken().items()}
            write_whole(self.file, json.dumps(known | {self.step: own | {"done": error is None}}, indent=2))


def taken() -> dict[str, float]:
    """Seconds so far, of this process and of those that it has waited for."""
    spent = os.times()
    return {"clock": spent.elapsed, "processor": sum(spent[:4])}


def explained_posts(work: Path, questions: int) -> Artifact:
    """Judgments of short texts, with explanations and made marks."""
    judged = shortened(work / "short", judge(work / "judged", questions, ""))
    return explain(work / "explained", in_words_of_a_rule(work / "worded", judged).path)


def shortened(out: Path, judged: Artifact) -> Artifact:
    """The same judgments, of the first words of each question and document."""
    place = create(out, "judgments", recipe={}, inputs={}, existing="resume")
    if isinstance(place, Artifact):
        return place
    examples = [
        replace(
            item,
            query=replace(item.query, text=first_words(item.query.text, QUERY_WORDS)),
            document=replace(item.document, text=first_words(item.document.text, DOCUMENT_WORDS)),
        )
        for item in read_judgments(judged.path)
    ]
    write_judgments(examples, place.folder)
    return place.finish(seed=SEED, counts={"judgments": len(examples)}, notes={"grades": "votes"})


def first_words(text: str, most: int) -> str:
    """The text up to its first so many words, with its line ends."""
    found = re.match(rf"\s*(?:\S+\s+){{0,{most - 1}}}\S+", text)
    return found.group().strip() if found else text


def benchmark_of(explained: Artifact, folder: Path) -> tuple[Path, int]:
    """A folder of the validation questions, whose candidates are their judged documents, and how many they are."""
    content = content_of(explained.path)
    held_out = {item.query.query_id for item in read_judgments(explained.path, "validation")}
    parts = {query.query_id: HELD_OUT if query.query_id in held_out else "train" for query in content.queries}
    folder.mkdir(exist_ok=True)
    counts = write_benchmarks(folder, content, parts)
    write_run(candidates(content, held_out), folder / "run.trec")
    return folder, counts[f"{HELD_OUT}_questions"]


def candidates(content: Content, held_out: set[str]) -> Run:
    """Each question's judged documents in BM25's order; last those that share no word with it."""
    orders = {}
    for query in content.queries:
        if query.query_id in held_out:
            own = list(content.grades[query.query_id])
            found = Bm25([content.documents[name] for name in own]).rank([query], top_k=len(own))
            best = found.doc_ids(query.query_id)
            orders[query.query_id] = [*best, *(name for name in own if name not in best)]
    return Run.from_orders(orders, tag="bm25")


def commands(
    options: argparse.Namespace, judgments: Path, benchmark: Path, questions: int
) -> list[tuple[str, str, dict[str, Any]]]:
    """The stages in order: name, which is the output's as well, recipe, and settings that differ from the recipe's."""
    student, marker, refined = (options.work / name for name in (BEFORE, "reward", AFTER))
    marked = {"use": "explanation_quality", "params": {"model": str(marker)}}
    rewards = [marked, *({"use": name} for name in options.unpaid)]
    return [
        (
            BEFORE,
            "distill/smollm2",
            {
                "judgments": judgments,
                "precision": options.precision,
                "validation.questions": 0,
                "trainer.max_steps": options.distilled,
                "trainer.save_steps": 4,
            },
        ),
        (
            "reward",
            "reward/smollm2",
            {
                "judgments": judgments,
                "precision": options.precision,
                "controls": True,
                "trainer.learning_rate": REWARD_RATE,
                "trainer.max_steps": options.rewarded,
                "trainer.save_steps": 5,
            },
        ),
        (
            AFTER,
            "rl/smollm2-stackexchange",
            {
                "judgments": judgments,
                "adapter": student,
                "reward_model": marker,
                "questions_per_step": 1,
                "validation.questions": 0,
                "trainer.max_steps": options.refined,
                "trainer.save_steps": 2,
            },
        ),
        (
            "evaluated",
            "evaluate/benchmark",
            {
                "benchmark": benchmark,
                "adapters": [student, refined],
                "depth": DOCUMENTS,
                "explain": EXPLAINED,
                "explained_queries": min(questions, options.explained),
                "max_reasoning_tokens": 48,
                "measures": ["nDCG@10"],
                "explanations": {"reader": student, "rewards": rewards},
            },
        ),
    ]


def ran(options: argparse.Namespace, name: str, recipe: str, settings: Mapping[str, Any]) -> None:
    """Run a stage's command, which goes on with its output or finds it finished."""
    given = [f"{key}={json.dumps(value, default=str)}" for key, value in settings.items()]
    line = [recipe.partition("/")[0], recipe, *given, "--out", str(options.work / name), "--resume"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    with Seconds(options.work, name):
        subprocess.run([sys.executable, "-m", "interank", *line], check=True, env=environment)


def told(work: Path, explained: Artifact) -> None:
    """Print all tables."""
    show(explained)
    report = json.loads((work / "reward" / "report.json").read_text("utf-8"))
    heads, *rows = compared(report)
    print(f"\nthe reward model, {report['pairs']} held-out pairs of {report['questions']} questions\n")
    print(table(heads, rows))
    print("\nrho with length:", json.dumps(report["length_correlation"]))
    metrics = json.loads((work / "evaluated" / "metrics.json").read_text("utf-8"))
    print("\nbefore and after rl\n\n" + table(("figure", BEFORE, AFTER, "difference"), gains(work, metrics)))
    bounds = {name: metrics[name]["nDCG@10"] for name in metrics if name not in (BEFORE, AFTER)}
    print("\n" + "; ".join(f"{name} {in_words(figure)}" for name, figure in bounds.items()))
    for note in open_artifact(work / "evaluated").manifest["notes"]:
        print(note)
    print((work / "seconds.json").read_text("utf-8"))


def gains(work: Path, metrics: Mapping[str, Any]) -> list[list[str]]:
    """nDCG@10 and each reward's mark of the explanations, before and after, and the paired difference."""
    compares = json.loads((work / "evaluated" / "comparisons.json").read_text("utf-8"))
    moved = next(each for each in compares if (each["against"], each["system"]) == (BEFORE, AFTER))
    rows = [["nDCG@10", *(in_words(metrics[name]["nDCG@10"]) for name in (BEFORE, AFTER)), in_words(moved)]]
    marks = {name: marks_by_question(work / "evaluated" / "rankings" / f"{name}.jsonl") for name in (BEFORE, AFTER)}
    for reward in metrics[BEFORE]["explanations"]["marks"]:
        means = [metrics[name]["explanations"]["marks"][reward] for name in (BEFORE, AFTER)]
        both = [name for name in marks[BEFORE].get(reward, {}) if name in marks[AFTER].get(reward, {})]
        differences = numpy.array([[marks[AFTER][reward][name] - marks[BEFORE][reward][name]] for name in both])
        (interval,) = Sample([len(both)], seed=SEED).intervals(differences)
        moved = {"mean": interval.mean, "low": interval.low, "high": interval.high}
        rows.append([f"{reward} ({means[0]['count']}, {means[1]['count']} marks)", *map(in_words, [*means, moved])])
    return rows


def marks_by_question(rankings: Path) -> dict[str, dict[str, float]]:
    """By reward, each question's mean mark, where it has one."""
    means: dict[str, dict[str, float]] = {}
    for row in read_rows(rankings):
        found: dict[str, list[float]] = {}
        for marks in row.get(MARKS, {}).values():
            for name, value in marks.items():
                if value is not None:
                    found.setdefault(name, []).append(value)
        for name, values in found.items():
            means.setdefault(name, {})[row["query_id"]] = fmean(values)
    return means


def in_words(figure: Mapping[str, float]) -> str:
    """A mean with its interval."""
    return f"{figure['mean']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


if __name__ == "__main__":
    main()
