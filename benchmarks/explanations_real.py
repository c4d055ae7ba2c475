"""Explanations with marks on real posts without a teacher that could mark: a few hundred pairs of two sites.

SmolLM2-135M explains grades by votes, made faults stand beside what it says, and what was made is what marks. The
folder's `explained` is the input of `interank reward`; what is printed is a table of the kinds.

    python benchmarks/explanations_real.py --work DIR [--questions 60] [--threads 1]

The posts are in the folder that INTERANK_REAL_DATA names (`stackexchange/SITE`). A second run goes on where the first
ended.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from pathlib import Path

import torch

from interank.artifact import Artifact
from interank.explanations import read_explanations
from interank.recipe import GenerateRecipe
from interank.stages import generate

STUDENT = "HuggingFaceTB/SmolLM2-135M-Instruct"
SITES = ("sustainability.stackexchange.com", "coffee.stackexchange.com")
PROMPT = {"order": "grade_first", "max_length": 512, "max_query_tokens": 96, "max_document_tokens": 160}
REASON_TOKENS = 48
SEED = 7


def main() -> None:
    """Judge, explain and mark, then print what there is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="judgments and explanations; kept")
    parser.add_argument("--questions", type=int, default=60, help="over both sites, five documents each")
    parser.add_argument("--model", default=STUDENT, help="what explains the grades")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    judged = judge(options.work / "judged", options.questions, options.model)
    explained = explain(options.work / "explained", judged.path)
    show(explained)
    print(f"{time.monotonic() - began:.0f} s with {options.threads} threads")


def judge(out: Path, questions: int, model: str) -> Artifact:
    """Grades by votes and acceptance, which the model explains."""
    folder = Path(os.environ["INTERANK_REAL_DATA"]) / "stackexchange"
    recipe = GenerateRecipe.model_validate(
        {
            "stage": "generate",
            "dumps": ",".join(str(folder / site) for site in SITES),
            "decontaminate": False,
            "seed": SEED,
            "mining": {"questions": questions, "documents_per_question": 5, "validation_share": 0.25},
            "teacher": {"model": model, "grades": "votes", "max_reasoning_tokens": REASON_TOKENS},
            "prompt": PROMPT,
        }
    )
    return generate.run(recipe, out, existing="resume")


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
