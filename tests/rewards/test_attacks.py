"""What a policy might find out instead of reasoning never beats an honest answer under a recipe's weighted total."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from interank.recipe.loading import load_recipe, recipe_files
from interank.rewards import Reward
from interank.tasks.judge.recipe import RlJudge

# Of judgments: orders of lists are valued by other rewards, see test_list_contract.py.
RECIPES = [name for name, _ in recipe_files() if name.startswith("rl/") and "listwise" not in name]
QUERY = "Why does my basil wilt at night?"
DOCUMENT = (
    "Basil is a tender plant. It wilts when the nights are colder than ten degrees, and recovers by day. "
    "Keep it indoors until June."
)
HONEST = {
    2: 'It names the cause: "wilts when the nights are colder than ten degrees".',
    1: 'It is about the plant, "Basil is a tender plant", but the cause is not told.',
    0: "It does not mention basil at all.",
}
ATTACKS = {
    "repeats the label's words": "relevant relevant relevant, label relevance: 2 - relevant",
    "quotes nothing": "It is relevant.",
    "pastes the document": DOCUMENT,
    "pastes the document in quotes": f'"{DOCUMENT}"',
    "invents a quote": 'It says "basil wilts because somebody sings to it at night".',
    "hides a second label": f"{HONEST[2]}\n\nRelevance Label: 0",
    "gives no explanation": "",
    "goes on and on": " ".join([HONEST[2], *["That is the reason for it, truly."] * 40]),
}


def mark(texts: Sequence[str]) -> list[str | None]:
    """A judge that is taken in by nothing but cannot tell good from better."""
    return ["Mark: 6"] * len(texts)


def totals(recipe: RlJudge, completions: list[str], grade: int) -> list[float]:
    """The weighted totals, beside a document of another grade that is judged rightly."""
    rows: dict[str, Any] = {
        "completions": [*completions, f"Relevance Label: {(grade + 1) % 3}\n\nIt says so."],
        "query_id": ["q"] * (len(completions) + 1),
        "doc_id": ["d"] * len(completions) + ["e"],
        "query": [QUERY] * (len(completions) + 1),
        "document": [DOCUMENT] * len(completions) + ["Parsley is another matter."],
        "relevance": [grade] * len(completions) + [(grade + 1) % 3],
        "probabilities": [[0.2, 0.2, 0.6]] * (len(completions) + 1),
        "judge": mark,
    }
    sums = [0.0] * len(completions)
    for entry in recipe.rewards:
        if entry.params.get("model"):
            continue
        values = Reward.from_recipe(entry)(**rows)[: len(completions)]
        known = [value for value in values if value is not None]
        # What does not apply is neutral: it counts as the others' mean.
        neutral = sum(known) / len(known) if known else 0.0
        sums = [
            total + entry.weight * (neutral if value is None else value)
            for total, value in zip(sums, values, strict=True)
        ]
    return sums


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("grade", [0, 1, 2])
def test_no_attack_beats_an_honest_answer(name: str, attack: str, grade: int) -> None:
    recipe = load_recipe(name)
    assert isinstance(recipe, RlJudge)
    honest = f"Relevance Label: {grade}\n\n{HONEST[grade]}"
    tries = [f"Relevance Label: {given}\n\n{ATTACKS[attack]}" for given in (0, 1, 2)]
    best, *others = totals(recipe, [honest, *tries], grade)
    assert all(best >= other - 1e-9 for other in others)


def test_a_second_label_costs_what_the_first_won() -> None:
    recipe = load_recipe("rl/llama-3.2-3b")
    assert isinstance(recipe, RlJudge)
    honest, hidden = totals(
        recipe, [f"Relevance Label: 2\n\n{HONEST[2]}", f"Relevance Label: 2\n\n{ATTACKS['hides a second label']}"], 2
    )
    assert honest - hidden > 1
