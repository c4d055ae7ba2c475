"""Work in shards: the recipes that allow it, a shard's part of the budget, and the card of the joined output."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interank.cards import save_card
from interank.errors import InputError
from interank.recipe import EvaluateRecipe, GenerateRecipe, Recipe
from interank.settings import ServersRecipe
from interank.shards import Shard
from interank.teacher.card import PICTURE, card, picture
from interank.teacher.tally import Tally

# Keys on which the content does not depend: servers, request rates, prices and budget.
_SERVERS = tuple(f"teacher.server.{name}" for name in ServersRecipe.model_fields)
FREE = ("budget", "cache", "teacher.price", "teacher.speed", *_SERVERS)


def refuse_shards(recipe: Recipe) -> None:
    """Refuse a recipe whose work cannot be split into shards.

    Raises:
        InputError: The reason.
    """
    if isinstance(recipe, GenerateRecipe):
        refuse_unshardable(recipe)
    elif not isinstance(recipe, EvaluateRecipe):
        raise InputError(f"--shards deals out pairs and queries, and {recipe.stage} does neither; leave it out")
    elif not (recipe.adapters or recipe.chain):
        raise InputError(
            "--shards deals out queries that are reranked, and the recipe names nothing that does; give adapters or "
            "chain, or leave --shards out"
        )


def refuse_unshardable(recipe: GenerateRecipe) -> None:
    """Refuse shards of a recipe without pairs, or with a step that needs all pairs together.

    Raises:
        InputError: Names the key at fault.
    """
    if not recipe.pairs:
        raise InputError(
            "--shards deals out mined pairs, and the recipe names none; mine them once with --mine-only, and "
            "give pairs=DIR"
        )
    if getattr(recipe, "explanations", None):
        raise InputError(
            "--shards judges pairs, and explanations are drawn from all judgments; leave explanations out, join the "
            "shards, and collect them from judgments=DIR with teacher.grades=given"
        )
    if recipe.teacher.orderings and recipe.max_grade_share is not None:
        raise InputError(
            "--shards: teacher.orderings asks about the judgments that max_grade_share keeps, which all shards "
            "together tell; leave one of the two out"
        )


def its_share(recipe: GenerateRecipe, shard: Shard, concurrent_shards: int) -> GenerateRecipe:
    """The recipe with the shard's part of tokens, dollars and requests in flight; each shard has all the seconds."""
    budget = recipe.budget
    share: dict[str, Any] = {}
    if budget.tokens is not None:
        share["tokens"] = max(1, budget.tokens // shard.of)
    if budget.dollars is not None:
        share["dollars"] = budget.dollars / shard.of
    update: dict[str, Any] = {"budget": budget.model_copy(update=share)}
    if concurrent_shards > 1:
        server = recipe.teacher.server.model_copy(
            update={"in_flight": max(1, recipe.teacher.server.in_flight // concurrent_shards)}
        )
        update["teacher"] = recipe.teacher.model_copy(update={"server": server})
    return recipe.model_copy(update=update)


def describe(folder: Path, tally: Tally, notes: Mapping[str, Any]) -> None:
    """Write the card of the judgments, and its picture."""
    (folder / PICTURE).write_text(picture(tally), "utf-8")
    save_card(card(tally, notes, notes["decontamination"]), folder)
