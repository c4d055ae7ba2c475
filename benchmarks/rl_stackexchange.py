"""What GRPO does to a SmolLM2-135M adapter on real StackExchange posts, beside the same with rewards dealt out anew.

    python benchmarks/rl_stackexchange.py start --work DIR
    interank rl rl/smollm2-stackexchange judgments=DIR/judgments adapter=DIR/start --out DIR/rl
    interank rl rl/smollm2-stackexchange judgments=DIR/judgments adapter=DIR/start control=shuffled --out DIR/shuffled
    python benchmarks/rl_stackexchange.py report --work DIR

INTERANK_REAL_DATA names the folder with `stackexchange/SITE`. No teacher at hand can grade, so grades are what votes
and acceptance say of an answer, and explanations are written by a rule: they quote the document's sentence that shares
most words with the question. `start` makes these judgments (5 candidates of each question, as a ranker meets them) and
distills them for a few steps. The two trainings can run side by side, one thread each, and go on with --resume.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path
from typing import Any

import torch

from interank.artifact import Workplace, create
from interank.judgments import write_judgments
from interank.pairs import read_pairs
from interank.recipe import GenerateRecipe
from interank.settings import (
    DocumentsRecipe,
    LoraRecipe,
    MiningRecipe,
    PromptSettings,
    TeacherRecipe,
)
from interank.stages import distill, generate
from interank.tasks.judge.recipe import DistillJudge
from interank.teacher.annotate import GRADE_BY_ORIGIN
from interank.types import Example, Judgment, Pair, Relevance

STUDENT = "HuggingFaceTB/SmolLM2-135M-Instruct"
TRAINED_ON = ("sustainability.stackexchange.com", "quantumcomputing.stackexchange.com")
PROMPT = PromptSettings(max_length=320, max_query_tokens=64, max_document_tokens=96)
CANDIDATES = 5
QUOTED = 10
SEED = 11
FIGURES = ("nDCG@10", "grade_accuracy", "calibration_error", "explanation_words", "format_rate", "grade_kl")


def main() -> None:
    """Run one of the steps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("step", choices=("start", "report"))
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--steps", type=int, default=60, help="of distillation")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.step == "start":
        start(options)
    else:
        report(options.work)


def start(options: argparse.Namespace) -> None:
    """Judgments, and an adapter that has learned some of them; what is there is used."""
    judgments = judged(options)
    recipe = DistillJudge(
        stage="distill",
        judgments=judgments,
        student=STUDENT,
        seed=SEED,
        prompt=PROMPT,
        lora=LoraRecipe(rank=16, alpha=32),
        trainer={
            "learning_rate": 5.0e-4,
            "max_steps": options.steps,
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 1,
            "gradient_checkpointing": False,
            "max_grad_norm": 1.0,
            "save_steps": 20,
            "logging_steps": 5,
        },
    )
    distill.run(recipe, options.work / "start", existing="resume")


def judged(options: argparse.Namespace) -> Path:
    """The judgments artifact: whole questions with five candidates of two grades or more."""
    out: Path = options.work / "judgments"
    if out.exists():
        return out
    data = Path(os.environ["INTERANK_REAL_DATA"]) / "stackexchange"
    mined = generate.run(
        GenerateRecipe(
            stage="generate",
            dumps=tuple(data / site for site in TRAINED_ON),
            decontaminate=False,
            seed=SEED,
            mining=MiningRecipe(
                questions=options.questions,
                documents=DocumentsRecipe(
                    accepted_answer=1, answer=1, linked_answer=0, hard_negative=4, random_negative=0
                ),
                validation_share=0.15,
                processes=1,
            ),
            teacher=TeacherRecipe(model=STUDENT, grades="votes"),
        ),
        options.work / "pairs",
        existing="resume",
        only_mine=True,
    )
    examples = [example_of(pair) for pair in list(read_pairs(mined.path))]
    place = create(out, "judgments", recipe={"labels": "votes"}, inputs={}, existing="overwrite")
    assert isinstance(place, Workplace)
    write_judgments(few(examples), place.folder)
    place.finish(seed=SEED, counts={"judgments": len(examples)}, notes={"teacher": "votes and a rule"})
    return out


def few(examples: list[Example]) -> list[Example]:
    """Of each question the first candidates of each grade, `CANDIDATES` in all."""
    by_question: dict[str, list[Example]] = {}
    for item in examples:
        by_question.setdefault(item.query.query_id, []).append(item)
    kept = []
    for items in by_question.values():
        ordered = sorted(items, key=lambda item: -item.judgment.relevance)
        kept += ordered[:CANDIDATES]
    return kept


def example_of(pair: Pair) -> Example:
    """The pair with the grade that votes and acceptance say, and a sentence that quotes it."""
    relevance = GRADE_BY_ORIGIN[pair.origin]
    judgment = Judgment(explanation(pair, relevance), relevance)
    return Example(pair.query, pair.document, judgment, None, pair.split, pair.source)


def explanation(pair: Pair, relevance: Relevance) -> str:
    """By rule: the words of the document that are nearest to the question."""
    if relevance == Relevance.IRRELEVANT:
        return "It is about another matter."
    asked = {*re.findall(r"\w{4,}", pair.query.text.lower())}
    # What a prompt of this length still holds.
    sentences = re.split(r"(?<=[.!?])\s+|\n+", pair.document.full_text[:350])
    best = max(sentences, key=lambda text: len(asked & {*re.findall(r"\w{4,}", text.lower())}))
    quoted = " ".join(best.replace('"', "").split()[:QUOTED])
    return f'It says "{quoted}", which {"answers" if relevance == Relevance.RELEVANT else "touches"} the question.'


def report(work: Path) -> None:
    """What each training's trials say, start and last, and what the rewards were at first and at last."""
    for name in ("rl", "shuffled"):
        manifest: dict[str, Any] = json.loads((work / name / "manifest.json").read_text())
        tried = manifest["validation"]
        print(f"{name}: {manifest['counts']['steps']} steps, best at step {tried['best']['step']}")
        for figure in FIGURES:
            print(f"  {figure:18} " + " -> ".join(f"{tried[when][figure]:.3f}" for when in ("start", "last")))
        lines = [json.loads(line) for line in (work / name / "log.jsonl").read_text().splitlines()]
        steps = [line for line in lines if "reward" in line]
        for key in sorted(key for key in steps[0] if key.startswith("rewards/") and key.endswith("/mean")):
            values = [line[key] for line in steps if line.get(key) is not None]
            third = max(1, len(values) // 3)
            first, last = (sum(part) / len(part) for part in (values[:third], values[-third:]))
            print(f"  {key:32} first third {first:.3f}, last third {last:.3f}")


if __name__ == "__main__":
    main()
