"""What differs by task: judge grades one document, group those of a window; order orders a list, head gives a number.

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
"""The tasks: what is not named here is none."""

_Recipe = TypeVar("_Recipe", DistillRecipe, RlRecipe)


def _recipes(stage: type[_Recipe]) -> dict[str, type[_Recipe]]:
    """The stage's recipes by task, of those tasks that have one."""
    modules = {name: part(name, "recipe") for name in NAMES}
    return {
        name: found
        for name, module in modules.items()
        for found in vars(module).values()
        # What a task takes from another one's recipe is not its own.
        if isinstance(found, type) and issubclass(found, stage) and found.__module__ == module.__name__
    }


DISTILLED: Mapping[str, type[DistillRecipe]] = _recipes(DistillRecipe)
"""The recipes of what distill can teach, by task."""
REFINED: Mapping[str, type[RlRecipe]] = _recipes(RlRecipe)
"""The recipes of what rl can improve, by task."""
TASK_MODES = {name: made.ranks_in for name, made in DISTILLED.items() if made.ranks_in}
"""The modes by the task whose ranker reads a model in them."""
TRAINED_ON = {name: made.trained_on for name, made in DISTILLED.items() if made.trained_on}
"""What an adapter of a task was trained on, in words."""


def task_of_adapter(manifest: Mapping[str, Any]) -> str:
    """What an adapter was trained for, by its manifest: one that does not say so tells it by its prompt."""
    if "task" in manifest:
        return str(manifest["task"])
    if "prompt" not in manifest:
        return "head"
    # A prompt of lists has a form, one of single documents an order.
    return "order" if "form" in manifest["prompt"] else "judge"
