"""Many pairs judged by one command: in parts, one after another, so that memory does not grow with the pairs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from interank.artifact import Artifact, Workplace, create
from interank.errors import InputError
from interank.pairs import questions_of
from interank.recipe import GenerateRecipe
from interank.shards import Shard
from interank.stages.shards import FREE
from interank.teacher.opening import REPLIES

log = logging.getLogger(__name__)

# Pairs that are held at a time, with what is said of them.
_PART = 10_000
_FOLDER = "parts"


def parts_of(recipe: GenerateRecipe, pairs: Artifact, work: Path) -> int:
    """How many parts the recipe's pairs are judged in: one, where all of them are looked at together.

    A model in this process would be loaded for each part, and a budget is that of all.

    Args:
        recipe: What is made.
        pairs: What is judged.
        work: Its work folder; replies in it are those of an output that was begun whole.

    Raises:
        InputError: It was begun in parts and cannot go on so.
    """
    looks_across = recipe.explanations or (recipe.teacher.orderings and recipe.max_grade_share is not None)
    loads = recipe.asks_teacher and recipe.teacher.engine != "openai"
    limited = any(limit is not None for limit in recipe.budget.model_dump().values())
    if limited and (work / _FOLDER).is_dir():
        raise InputError(
            "budget: this output was begun without one, in parts of which each would need its own; go on without "
            "it, or begin anew with --overwrite"
        )
    if looks_across or loads or limited or (work / REPLIES).is_file():
        return 1
    return min(-(-int(pairs.manifest["counts"]["pairs"]) // _PART), questions_of(pairs.path))


def in_parts(place: Workplace, parts: int, judge: Callable[[Shard, Workplace], Artifact]) -> list[Artifact]:
    """Judge one part after another in the work folder; a part that is finished stays so.

    Args:
        place: Where all of them are to be joined.
        parts: How many there are.
        judge: Judges a part, given where it goes.
    """
    made = []
    for number in range(1, parts + 1):
        log.info("part %d of %d", number, parts)
        shard = Shard(parts, number)
        out = place.work / _FOLDER / f"{number:05d}"
        recipe = place.recipe | {"shard": str(shard)}
        own = create(out, "shard", recipe=recipe, inputs=place.inputs, existing="resume", free=FREE)
        made.append(own if isinstance(own, Artifact) else judge(shard, own))
    return made
