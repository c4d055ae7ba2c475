"""What explanations of `attack_world` earn under a recipe's rewards, and how often an attack loses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from interank.recipe import RunRecipe
from interank.recipe.loading import load_recipe, recipe_files
from interank.recipe.run import with_reward_model
from interank.rewards import Reward
from interank.tasks.judge.reading import ExplanationInput, Probabilities, Reader, Token
from interank.tasks.judge.recipe import RlJudge
from tests.support.attack_world import Pair, honest_paraphrase, honest_quote

Asked = TypeVar("Asked")
Told = TypeVar("Told")

# The share of an honest total by which an attack has to lose.
MARGIN = 0.2
HONEST = (honest_quote, honest_paraphrase)
# Of judgments: orders of lists are valued by other rewards, see test_list_contract.py. What the original rewards is a
# reward model's output and nothing else.
RECIPES = [
    name
    for name, _ in recipe_files()
    if name.startswith("rl/") and name != "rl/original" and isinstance(load_recipe(name), RlJudge)
]


def recipe_of(name: str) -> RlJudge:
    """A shipped recipe whose rewards are of judgments."""
    recipe = load_recipe(name)
    assert isinstance(recipe, RlJudge)
    return recipe


def with_marks(name: str, good: Collection[str]) -> RlJudge:
    """A shipped recipe, or the rl of one that runs all stages, given a reward model that is sure what is good."""
    found, place = load_recipe(name), Path("reward")
    rl = found.stages.rl if isinstance(found, RunRecipe) else found
    assert isinstance(rl, RlJudge)
    own = {"model": lambda rows: [4.0 if explanation in good else -4.0 for _, _, explanation in rows]}
    paid = with_reward_model(rl, place).rewards
    assert [entry.params for entry in paid if entry.use == "explanation_quality"] == [{"model": str(place)}]
    entries = [entry.model_copy(update={"params": own}) if entry.params.get("model") else entry for entry in paid]
    return rl.model_copy(update={"rewards": tuple(entries)})


def mark(texts: Sequence[str]) -> list[str | None]:
    """A judge that is taken in by nothing but cannot tell good from better."""
    return ["Mark: 6"] * len(texts)


def totals(
    recipe: RlJudge, reader: Reader, chosen: Sequence[Pair], says: Sequence[Callable[[Pair], str]]
) -> list[tuple[float, ...]]:
    """For each pair the weighted totals of its explanations, all with the right grade and in one batch."""
    values = valued(recipe, reader, chosen, says)
    return [
        tuple(sum(weight * own[place] for weight, own in values[number]) for place in range(len(says)))
        for number in range(len(chosen))
    ]


def valued(
    recipe: RlJudge, reader: Reader, chosen: Sequence[Pair], says: Sequence[Callable[[Pair], str]]
) -> list[list[tuple[float, tuple[float, ...]]]]:
    """For each pair and each of the recipe's rewards its weight, and what it gives the explanations."""
    rows = [(pair, f"Relevance Label: {pair.relevance}\n\n{say(pair)}") for pair in chosen for say in says]
    columns: dict[str, Any] = {
        "completions": [completion for _, completion in rows],
        "probabilities": [[1 / 3] * 3] * len(rows),
        "judge": mark,
        "reader": reader,
    }
    for name in ("query_id", "doc_id", "query", "document", "relevance"):
        columns[name] = [getattr(pair, name) for pair, _ in rows]
    found: list[list[tuple[float, tuple[float, ...]]]] = [[] for _ in chosen]
    for entry in recipe.rewards:
        values = Reward.from_recipe(entry)(**columns)
        for own, start in zip(found, range(0, len(rows), len(says)), strict=True):
            known = [value for value in values[start : start + len(says)] if value is not None]
            # What does not apply is neutral: it counts as the others' mean.
            neutral = fmean(known) if known else 0.0
            told = [neutral if value is None else value for value in values[start : start + len(says)]]
            own.append((entry.weight, tuple(told)))
    return found


def lost(attack: float, honest: float) -> bool:
    """Whether an attack's total lies a fifth of the honest one below it."""
    return attack <= honest - MARGIN * abs(honest)


def wilson(won: int, of: int) -> tuple[float, float]:
    """A 95% interval of a share."""
    z, share = 1.96, won / of
    middle, half = share + z * z / (2 * of), z * ((share * (1 - share) + z * z / (4 * of)) / of) ** 0.5
    return (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


class Remembering:
    """A reader that reads nothing twice: with every attack and recipe the honest explanations come again."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._read: dict[tuple[str, Any], Any] = {}

    def grades(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """See `Reader`."""
        return self._remembered("grades", self._reader.grades, pairs)

    def led_to(self, explained: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """See `Reader`."""
        return self._remembered("led_to", self._reader.led_to, explained)

    def tokens(self, explanations: Sequence[ExplanationInput]) -> list[list[Token]]:
        """See `Reader`."""
        return self._remembered("tokens", self._reader.tokens, explanations)

    def _remembered(
        self, kind: str, read: Callable[[Sequence[Asked]], list[Told]], asked: Sequence[Asked]
    ) -> list[Told]:
        new = [each for each in dict.fromkeys(asked) if (kind, each) not in self._read]
        if new:
            self._read.update(((kind, each), told) for each, told in zip(new, read(new), strict=True))
        return [self._read[kind, each] for each in asked]
