"""The tasks a model can learn: judge grades a document, group those of a window, order orders a list, head scores.

A task is a package here with a module for each part, `recipe`, `inputs`, `training_data` and `ranker`, or one file that
has them all. Importing its recipe or inputs loads nothing heavy: a file with all parts imports torch inside functions.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from interank.tasks.parts import part
from interank.tasks.recipes import DistillRecipe, RlRecipe

__all__ = [
    "DISTILLED",
    "NAMES",
    "REFINED",
    "TASK_MODES",
    "TRAINED_ON",
    "DistillRecipe",
    "RlRecipe",
    "part",
    "task_of_adapter",
]

NAMES = ("judge", "order", "head", "group")
"""The names of all tasks."""

_Recipe = TypeVar("_Recipe", DistillRecipe, RlRecipe)


def _recipes(stage: type[_Recipe]) -> dict[str, type[_Recipe]]:
    """The recipes of a stage, by task; a task without one is left out."""
    modules = {name: part(name, "recipe") for name in NAMES}
    return {
        name: recipe
        for name, module in modules.items()
        for recipe in vars(module).values()
        # What a task takes from another one's recipe is not its own.
        if isinstance(recipe, type) and issubclass(recipe, stage) and recipe.__module__ == module.__name__
    }


DISTILLED: Mapping[str, type[DistillRecipe]] = _recipes(DistillRecipe)
"""The recipes of distill, by task."""
REFINED: Mapping[str, type[RlRecipe]] = _recipes(RlRecipe)
"""The recipes of rl, by task."""
TASK_MODES = {name: recipe.ranks_in for name, recipe in DISTILLED.items() if recipe.ranks_in}
"""The modes of each task's ranker."""
TRAINED_ON = {name: recipe.trained_on for name, recipe in DISTILLED.items() if recipe.trained_on}
"""What an adapter of a task was trained on, in words."""


def task_of_adapter(manifest: Mapping[str, Any]) -> str:
    """The task of an adapter, by its manifest; where `task` is missing, by the keys of the prompt."""
    if "task" in manifest:
        return str(manifest["task"])
    if "prompt" not in manifest:
        return "head"
    # A prompt of lists has a form, one of single documents an order.
    return "order" if "form" in manifest["prompt"] else "judge"
