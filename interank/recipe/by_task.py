"""The recipes of the stages that train: for each stage a union over its tasks, discriminated by `task`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Tag

from interank.tasks import DISTILLED, REFINED
from interank.tasks.recipes import DistillRecipe, RlRecipe

DEFAULT_TASK = "judge"


def task_of(recipe: Any) -> Any:
    """The task of a recipe, checked or as a plain mapping."""
    return recipe.get("task", DEFAULT_TASK) if isinstance(recipe, Mapping) else getattr(recipe, "task", None)


def _union(models: Mapping[str, type[Any]]) -> Any:
    tagged = (Annotated[model, Tag(name)] for name, model in models.items())
    return Annotated[reduce(or_, tagged), Discriminator(task_of)]


if TYPE_CHECKING:
    Distill = DistillRecipe
    Rl = RlRecipe
else:
    Distill = _union(DISTILLED)
    Rl = _union(REFINED)
