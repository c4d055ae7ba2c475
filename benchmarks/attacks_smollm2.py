"""How often attacks on rl's rewards lose to honest explanations, with SmolLM2 as the reader and with an exact one.

    python -m benchmarks.attacks_smollm2 [--exact 70] [--smollm2 17] [--recipe rl/smollm2] [--precision bfloat16]

The numbers are of questions, each with a document of each grade; with 0 a reader is left out. An attack has lost where
its total lies a fifth of the honest one below it. The last column tells, by grade, the share of pairs in which it lost
to both honest ones. SmolLM2 reads as it comes, with no adapter.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean
from typing import Any

import torch

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.recipe.loading import load_recipe
from interank.rewards import Reward
from interank.settings import PromptSettings
from interank.settings.student import Precision
from interank.tasks.judge.reader import ModelReader
from interank.tasks.judge.reading import Reader
from interank.tasks.judge.recipe import RlJudge
from tests.support.attack_world import ATTACKS, CLOSE, LATER, ExactReader, Pair, honest_paraphrase, honest_quote, pairs

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
HONEST: dict[str, Callable[[Pair], str]] = {"honest quote": honest_quote, "honest paraphrase": honest_paraphrase}
MARGIN = 0.2


def smollm2(precision: Precision) -> ModelReader:
    """The model as its authors released it."""
    files = find_model(MODEL)
    encoder = PromptEncoder(load_tokenizer(files), PromptSettings(max_length=700, max_query_tokens=64))
    return ModelReader(load_model(files, precision=precision), encoder, tokens=96)


def totals(recipe: RlJudge, reader: Reader, chosen: list[Pair]) -> dict[str, list[float]]:
    """The weighted total of each kind of explanation, pair by pair."""
    says = {**HONEST, **ATTACKS, **LATER, **CLOSE}
    rows = [(pair, say(pair)) for pair in chosen for say in says.values()]
    columns: dict[str, Any] = {
        "completions": [f"Relevance Label: {pair.relevance}\n\n{text}" for pair, text in rows],
        "probabilities": [[1 / 3] * 3] * len(rows),
        "reader": reader,
    }
    for name in ("query_id", "doc_id", "query", "document", "relevance"):
        columns[name] = [getattr(pair, name) for pair, _ in rows]
    sums = [0.0] * len(rows)
    for entry in recipe.rewards:
        values = Reward.from_recipe(entry)(**columns)
        for start in range(0, len(rows), len(says)):
            known = [value for value in values[start : start + len(says)] if value is not None]
            neutral = fmean(known) if known else 0.0
            for place in range(start, start + len(says)):
                value = values[place]
                sums[place] += entry.weight * (neutral if value is None else value)
    return {name: sums[number :: len(says)] for number, name in enumerate(says)}


def interval(won: float, number: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    z = 1.96
    middle = (won + z * z / 2 / number) / (1 + z * z / number)
    half = z / (1 + z * z / number) * math.sqrt(won * (1 - won) / number + z * z / 4 / number**2)
    return middle - half, middle + half


def by_grade(chosen: Sequence[Pair], lost: Sequence[bool]) -> list[float]:
    """The shares of pairs of grades 0, 1 and 2 in which an attack lost."""
    return [fmean(own for pair, own in zip(chosen, lost, strict=True) if pair.relevance == grade) for grade in range(3)]


def main() -> None:
    """Print a table a reader."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--exact", type=int, default=70, help="questions that the exact reader reads")
    parser.add_argument("--smollm2", type=int, default=17, help="questions that SmolLM2 reads")
    parser.add_argument("--recipe", default="rl/smollm2", help="whose rewards are attacked")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16", help="of SmolLM2")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = load_recipe(options.recipe)
    assert isinstance(recipe, RlJudge)
    readers: dict[str, tuple[int, Callable[[], Reader]]] = {
        "exact": (options.exact, ExactReader),
        f"{MODEL} in {options.precision}": (options.smollm2, partial(smollm2, options.precision)),
    }
    for who, (questions, made) in readers.items():
        if questions:
            show(f"{options.recipe}, {who}", recipe, made(), pairs(questions))


def show(title: str, recipe: RlJudge, reader: Reader, chosen: list[Pair]) -> None:
    """Read the pairs, and print what each attack gets."""
    started = time.monotonic()
    found = totals(recipe, reader, chosen)
    print(f"\n{title}, {len(chosen)} pairs, {time.monotonic() - started:.0f} s; honest totals:", end=" ")
    print(", ".join(f"{kind} {fmean(found[kind]):.2f}" for kind in HONEST))
    print("| attack | mean total | lost to a quote | lost to a paraphrase | to both, by grade |\n|---|---|---|---|---|")
    for attack in (*ATTACKS, *LATER, *CLOSE):
        cells = []
        lost = {
            kind: [ours <= own - MARGIN * abs(own) for ours, own in zip(found[attack], found[kind], strict=True)]
            for kind in HONEST
        }
        for kind in HONEST:
            share = fmean(lost[kind])
            low, high = interval(share, len(chosen))
            cells.append(f"{share:.2f} ({low:.2f} to {high:.2f})")
        both = [
            (pair.relevance, all(each)) for pair, each in zip(chosen, zip(*lost.values(), strict=True), strict=True)
        ]
        by_grade = [fmean(own for relevance, own in both if relevance == grade) for grade in range(3)]
        cells.append(", ".join(f"{share:.2f}" for share in by_grade))
        print(f"| {attack} | {fmean(found[attack]):.2f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
