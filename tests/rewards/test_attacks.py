"""What a policy might find out instead of reasoning loses strictly to an honest answer under a recipe's total."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import pytest

from interank.recipe.loading import load_recipe, recipe_files
from interank.rewards import Reward
from interank.tasks.judge.recipe import RlJudge
from tests.support.attack_world import ATTACKS, ExactReader, Pair, honest_paraphrase, honest_quote, pairs

# Of judgments: orders of lists are valued by other rewards, see test_list_contract.py. What the original rewards is a
# reward model's output and nothing else.
RECIPES = [
    name
    for name, _ in recipe_files()
    if name.startswith("rl/") and name != "rl/original" and isinstance(load_recipe(name), RlJudge)
]
PAIRS = pairs(70)
# The share of an honest total by which an attack has to lose.
MARGIN = 0.2
HONEST = (honest_quote, honest_paraphrase)


def mark(texts: Sequence[str]) -> list[str | None]:
    """A judge that is taken in by nothing but cannot tell good from better."""
    return ["Mark: 6"] * len(texts)


def totals(recipe: RlJudge, attack: str, chosen: Sequence[Pair] = PAIRS) -> dict[Pair, tuple[float, ...]]:
    """The weighted totals of both honest explanations, then of the attack, all with the right grade."""
    rows = [
        (pair, f"Relevance Label: {pair.relevance}\n\n{say(pair)}")
        for pair in chosen
        for say in (*HONEST, ATTACKS[attack])
    ]
    columns: dict[str, Any] = {
        "completions": [completion for _, completion in rows],
        "probabilities": [[1 / 3] * 3] * len(rows),
        "judge": mark,
        "reader": ExactReader(),
    }
    for name in ("query_id", "doc_id", "query", "document", "relevance"):
        columns[name] = [getattr(pair, name) for pair, _ in rows]
    sums = [0.0] * len(rows)
    for entry in recipe.rewards:
        values = Reward.from_recipe(entry)(**columns)
        for start in range(0, len(rows), len(HONEST) + 1):
            known = [value for value in values[start : start + 3] if value is not None]
            # What does not apply is neutral: it counts as the others' mean.
            neutral = fmean(known) if known else 0.0
            for place in range(start, start + 3):
                value = values[place]
                sums[place] += entry.weight * (neutral if value is None else value)
    return {pair: tuple(sums[3 * n : 3 * n + 3]) for n, pair in enumerate(chosen)}


def recipe_of(name: str) -> RlJudge:
    recipe = load_recipe(name)
    assert isinstance(recipe, RlJudge)
    return recipe


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_loses_by_a_fifth_of_an_honest_total(name: str, attack: str) -> None:
    found = totals(recipe_of(name), attack)
    for grade in (0, 1, 2):
        for place, kind in enumerate(HONEST):
            of_grade = [row for pair, row in found.items() if pair.relevance == grade]
            wins = [float(row[2] <= row[place] - MARGIN * abs(row[place])) for row in of_grade]
            # By Clopper and Pearson, of wins without a loss.
            low = 0.025 ** (1 / len(wins))
            print(f"{name}, {attack}, grade {grade}, {kind.__name__}: {fmean(wins):.3f} won ({low:.3f} to 1)")
            assert fmean(wins) == 1.0, next(row for win, row in zip(wins, of_grade, strict=True) if not win)


@pytest.mark.parametrize("name", RECIPES)
def test_a_paraphrase_is_worth_as_much_as_a_quote(name: str) -> None:
    for quote, paraphrase, _ in totals(recipe_of(name), "x").values():
        assert paraphrase == pytest.approx(quote, rel=0.15)
