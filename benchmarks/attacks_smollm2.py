"""How often attacks on rl's rewards lose to honest explanations, with an exact reader, a tiny taught one, and SmolLM2.

    python -m benchmarks.attacks_smollm2 [--exact 70] [--learned 70] [--smollm2 17] [--recipe rl/smollm2]

The numbers are of questions, each with a document of each grade; with 0 a reader is left out. An attack has lost where
its total lies a fifth of the honest one below it. The last column tells, by grade, the share of pairs in which it lost
to both honest ones. The tiny reader is first trained, for some minutes. SmolLM2 reads as it comes, with no adapter.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

import torch

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.recipe.loading import load_recipe
from interank.settings import PromptSettings
from interank.settings.student import Precision
from interank.tasks.judge.reader import ModelReader
from interank.tasks.judge.reading import Reader
from interank.tasks.judge.recipe import RlJudge
from tests.support.attack_reader import Teaching, attack_base, attack_reader
from tests.support.attack_totals import lost, totals, wilson
from tests.support.attack_world import ATTACKS, CLOSE, LATER, ExactReader, Pair, honest_paraphrase, honest_quote, pairs

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
HONEST: dict[str, Callable[[Pair], str]] = {"honest quote": honest_quote, "honest paraphrase": honest_paraphrase}
SAYS = {**HONEST, **ATTACKS, **LATER, **CLOSE}


def smollm2(precision: Precision) -> ModelReader:
    """The model as its authors released it."""
    files = find_model(MODEL)
    encoder = PromptEncoder(load_tokenizer(files), PromptSettings(max_length=700, max_query_tokens=64))
    return ModelReader(load_model(files, precision=precision), encoder, tokens=96)


def learned(chosen: list[Pair], teaching: Teaching, seed: int) -> ModelReader:
    """A tiny reader that was taught the world, and none of these pairs."""
    with tempfile.TemporaryDirectory() as folder:
        return attack_reader(attack_base(Path(folder), chosen, teaching=teaching, seed=seed))


def by_grade(chosen: Sequence[Pair], was_lost: Sequence[bool]) -> list[float]:
    """The shares of pairs of grades 0, 1 and 2 in which an attack lost."""
    return [
        fmean(own for pair, own in zip(chosen, was_lost, strict=True) if pair.relevance == grade) for grade in range(3)
    ]


def main() -> None:
    """Print a table a reader."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--exact", type=int, default=70, help="questions that the exact reader reads")
    parser.add_argument("--learned", type=int, default=0, help="questions that the tiny reader reads")
    parser.add_argument("--smollm2", type=int, default=17, help="questions that SmolLM2 reads")
    parser.add_argument("--recipe", default="rl/smollm2", help="whose rewards are attacked")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16", help="of SmolLM2")
    parser.add_argument("--teaching", choices=("whole", "honest", "narrow"), default="whole", help="of the tiny reader")
    parser.add_argument("--seed", type=int, default=0, help="of the questions, and of the tiny reader's training")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = load_recipe(options.recipe)
    assert isinstance(recipe, RlJudge)
    readers: dict[str, tuple[int, Callable[[list[Pair]], Reader]]] = {
        "exact": (options.exact, lambda _: ExactReader()),
        "learned": (options.learned, partial(learned, teaching=options.teaching, seed=options.seed)),
        f"{MODEL} in {options.precision}": (options.smollm2, lambda _: smollm2(options.precision)),
    }
    for who, (questions, made) in readers.items():
        if questions:
            chosen = pairs(questions, seed=options.seed)
            show(f"{options.recipe}, {who}", recipe, made(chosen), chosen)


def show(title: str, recipe: RlJudge, reader: Reader, chosen: list[Pair]) -> None:
    """Read the pairs, and print what each attack gets."""
    started = time.monotonic()
    earned = totals(recipe, reader, chosen, tuple(SAYS.values()))
    found = dict(zip(SAYS, zip(*earned, strict=True), strict=True))
    print(f"\n{title}, {len(chosen)} pairs, {time.monotonic() - started:.0f} s; honest totals:", end=" ")
    print(", ".join(f"{kind} {fmean(found[kind]):.2f}" for kind in HONEST))
    print("| attack | mean total | lost to a quote | lost to a paraphrase | to both, by grade |\n|---|---|---|---|---|")
    for attack in (*ATTACKS, *LATER, *CLOSE):
        cells = []
        won = [[lost(ours, own) for ours, own in zip(found[attack], found[kind], strict=True)] for kind in HONEST]
        for each in won:
            low, high = wilson(sum(each), len(each))
            cells.append(f"{fmean(each):.2f} ({low:.2f} to {high:.2f})")
        both = [all(each) for each in zip(*won, strict=True)]
        cells.append(", ".join(f"{share:.2f}" for share in by_grade(chosen, both)))
        print(f"| {attack} | {fmean(found[attack]):.2f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
