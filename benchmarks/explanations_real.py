"""Explanations with marks on real posts without a teacher that could mark: a few hundred pairs of two sites.

Grades are those of votes. They are explained by SmolLM2-135M, or in seconds by a rule that quotes the sentence which
shares most with the question; made faults stand beside, and what was made is what marks. The folder's `explained` is
the input of `interank reward`; what is printed is a table of the kinds.

    python benchmarks/explanations_real.py --work DIR [--words rule] [--questions 60] [--threads 1]

The posts are in the folder that INTERANK_REAL_DATA names (`stackexchange/SITE`). A second run goes on where the first
ended.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch

from interank.artifact import Artifact, create
from interank.explanations import read_explanations
from interank.judgments import read_judgments, write_judgments
from interank.recipe import GenerateRecipe
from interank.stages import generate
from interank.teacher.faults import telling_words
from interank.types import Example, Relevance

STUDENT = "HuggingFaceTB/SmolLM2-135M-Instruct"
SITES = ("sustainability.stackexchange.com", "coffee.stackexchange.com")
PROMPT = {"order": "grade_first", "max_length": 512, "max_query_tokens": 96, "max_document_tokens": 160}
REASON_TOKENS = 48
QUOTED_WORDS = 12
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
SEED = 7


def main() -> None:
    """Judge, explain and mark, then print what there is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="judgments and explanations; kept")
    parser.add_argument("--questions", type=int, default=60, help="over both sites, five documents each")
    parser.add_argument("--model", default=STUDENT, help="what explains the grades")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--words", choices=("model", "rule"), default="model", help="who explains the grades")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    judged = judge(options.work / "judged", options.questions, options.model if options.words == "model" else "")
    if options.words == "rule":
        judged = in_words_of_a_rule(options.work / "worded", judged)
    explained = explain(options.work / "explained", judged.path)
    show(explained)
    print(f"{time.monotonic() - began:.0f} s with {options.threads} threads")


def judge(out: Path, questions: int, model: str) -> Artifact:
    """Grades by votes and acceptance, which the model explains, if there is one."""
    folder = Path(os.environ["INTERANK_REAL_DATA"]) / "stackexchange"
    recipe = GenerateRecipe.model_validate(
        {
            "stage": "generate",
            "dumps": ",".join(str(folder / site) for site in SITES),
            "decontaminate": False,
            "seed": SEED,
            "mining": {"questions": questions, "documents_per_question": 5, "validation_share": 0.25},
            "teacher": {"model": model, "grades": "votes", "max_reasoning_tokens": REASON_TOKENS if model else 0},
            "prompt": PROMPT,
        }
    )
    return generate.run(recipe, out, existing="resume")


def in_words_of_a_rule(out: Path, judged: Artifact) -> Artifact:
    """The same judgments, explained by what question and document have in common."""
    place = create(out, "judgments", recipe={}, inputs={}, existing="resume")
    if isinstance(place, Artifact):
        return place
    examples = [
        replace(item, judgment=replace(item.judgment, reasoning=worded(item))) for item in read_judgments(judged.path)
    ]
    write_judgments(examples, place.folder)
    return place.finish(seed=SEED, counts={"judgments": len(examples)}, notes={"grades": "votes"})


def worded(item: Example) -> str:
    """An explanation that quotes, or at grade 0 names, what settles the grade."""
    asked = telling_words(item.query.text)
    sentences = [" ".join(each.split()) for each in _SENTENCE.split(item.document.full_text) if each.strip()]
    best = max(sentences, key=lambda each: len(telling_words(each) & asked))
    shared = " and ".join(sorted(telling_words(best) & asked, key=len)[-2:])
    own = " and ".join(sorted(telling_words(item.document.full_text) - asked, key=len)[-2:])
    lacking = " and ".join(sorted(asked - telling_words(item.document.full_text), key=len)[-2:])
    quote = " ".join(best.replace('"', "").split()[:QUOTED_WORDS])
    if item.judgment.relevance == Relevance.IRRELEVANT:
        return f"It speaks of {own} and says nothing of {lacking or 'the rest'}, which the question is about."
    on = f" on {shared}" if shared else ""
    if item.judgment.relevance == Relevance.PARTIAL:
        return f'It touches the question{on}: "{quote}", but leaves {lacking or "a part"} open.'
    return f'It answers the question{on}: "{quote}".'


def explain(out: Path, judgments: Path) -> Artifact:
    """Made faults beside each explanation; an honest one is worth 1, a fault 0."""
    recipe = GenerateRecipe.model_validate(
        {
            "stage": "generate",
            "judgments": str(judgments),
            "teacher": {"grades": "given", "max_reasoning_tokens": 0},
            "explanations": {"samples": 1, "marks": "made", "seed": SEED},
            "prompt": PROMPT,
        }
    )
    return generate.run(recipe, out, existing="resume")


def show(explained: Artifact) -> None:
    """The numbers of each kind, its length in words, and one of each."""
    rows = read_explanations(explained.path)
    kinds = defaultdict(list)
    for row in rows:
        kinds[row.kind].append(row.explanation)
    print(f"{'kind':<16} {'train and validation':>20} {'words':>6}  the first")
    for kind, texts in kinds.items():
        words = sum(len(text.split()) for text in texts) / len(texts)
        print(f"{kind:<16} {len(texts):>20} {words:>6.1f}  {' '.join(texts[0].split())[:90]}")
    told = explained.manifest["explanations"]
    print(json.dumps({name: told[name] for name in ("sets", "skipped", "length_correlation")}))


if __name__ == "__main__":
    main()
