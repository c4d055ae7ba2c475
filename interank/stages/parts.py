"""Judges many pairs in parts, one after another, so that memory does not grow with the number of pairs."""

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

# Pairs held in memory at a time, with their judgments.
_PART = 10_000
PARTS = "parts"


def parts_of(recipe: GenerateRecipe, pairs: Artifact, work: Path, shard: Shard | None = None) -> int:
    """The number of parts in which the recipe's pairs, or a shard's, are judged; 1 where a step needs them together.

    It is 1 too for a model in this process, which every part would load, and with a budget, which is one for all.

    Args:
        recipe: The recipe.
        pairs: The pairs to judge.
        work: The work folder; a reply store in it means that the output was begun as a whole.
        shard: The shard of the pairs that is judged; None judges all.

    Raises:
        InputError: The output was begun in parts, and the recipe has a budget now.
    """
    looks_across = recipe.explanations or (recipe.teacher.orderings and recipe.max_grade_share is not None)
    loads = recipe.asks_teacher and recipe.teacher.engine != "openai"
    limited = any(limit is not None for limit in recipe.budget.model_dump().values())
    if limited and (work / PARTS).is_dir():
        raise InputError(
            "budget: this output was begun without one, in parts of which each would need its own; go on without "
            "it, or begin anew with --overwrite"
        )
    if looks_across or loads or limited or (work / REPLIES).is_file():
        return 1
    shards = shard.of if shard else 1
    # Each part needs a question, also in the smallest shard.
    return min(-(-int(pairs.manifest["counts"]["pairs"]) // (_PART * shards)), questions_of(pairs.path) // shards)


def in_parts(
    place: Workplace, parts: int, whole: Shard | None, judge: Callable[[Shard, Workplace], Artifact]
) -> list[Artifact]:
    """Judge one part after another in the work folder; finished parts are not judged again.

    Args:
        place: The output that joins the parts.
        parts: Their number.
        whole: The shard that is judged in parts; None for all pairs.
        judge: Judges a part into the given place.
    """
    made = []
    for number, shard in enumerate((whole or Shard(1, 1)).parts(parts), 1):
        log.info("part %d of %d", number, parts)
        out = place.work / PARTS / f"{number:05d}"
        recipe = place.recipe | {"shard": str(shard)}
        own = create(out, "shard", recipe=recipe, inputs=place.inputs, existing="resume", free=FREE)
        made.append(own if isinstance(own, Artifact) else judge(shard, own))
    return made
