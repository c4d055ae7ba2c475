"""Many pairs judged by one command: in parts, one after another, so that memory does not grow with the pairs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from interank.artifact import Artifact, Workplace, open_artifact
from interank.errors import InputError
from interank.pairs import questions_of
from interank.recipe import GenerateRecipe
from interank.stages.dealt import opened
from interank.stages.join import joined
from interank.teacher.opening import REPLIES

log = logging.getLogger(__name__)

# Pairs that are held at a time, with what is said of them.
_PART = 10_000
_FOLDER = "parts"


def parts_of(recipe: GenerateRecipe, work: Path) -> int:
    """How many parts the recipe's pairs are judged in: one, where all of them are looked at together.

    A model in this process would be loaded for each part, and a budget is that of all.

    Args:
        recipe: What is made.
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
    if not recipe.pairs or looks_across or loads or limited or (work / REPLIES).is_file():
        return 1
    pairs = open_artifact(recipe.pairs, "pairs")
    return min(-(-int(pairs.manifest["counts"]["pairs"]) // _PART), questions_of(pairs.path))


def in_parts(recipe: GenerateRecipe, place: Workplace, judge: Sequence[Callable[..., Artifact]]) -> Artifact:
    """Judge one part after another in the work folder and join them; a part that is finished stays so.

    Args:
        recipe: What is made.
        place: Where.
        judge: What judges each part, given where its shard goes.
    """
    folders: list[Path] = []
    for number, part in enumerate(judge, start=1):
        folders.append(place.work / _FOLDER / f"{number:05d}")
        log.info("part %d of %d", number, len(judge))
        more: dict[str, Any] = {"existing": "resume"}
        part(folders[-1], **more)
    return joined(recipe, place, opened(folders))
