"""What differs by task: judge grades one document, order puts a list in order, head gives one number."""

from collections.abc import Mapping
from typing import Any

from interank.tasks.head.recipe import DistillHead
from interank.tasks.judge.recipe import DistillJudge, RlJudge
from interank.tasks.order.recipe import DistillOrder, RlOrder
from interank.tasks.recipes import DistillRecipe, RlRecipe

__all__ = [
    "DISTILLED",
    "REFINED",
    "DistillHead",
    "DistillJudge",
    "DistillOrder",
    "DistillRecipe",
    "RlJudge",
    "RlOrder",
    "RlRecipe",
    "task_of_adapter",
]

DISTILLED: Mapping[str, type[DistillRecipe]] = {"judge": DistillJudge, "order": DistillOrder, "head": DistillHead}
"""The recipes of what distill can teach, by task."""
REFINED: Mapping[str, type[RlRecipe]] = {"judge": RlJudge, "order": RlOrder}
"""The recipes of what rl can improve, by task."""


def task_of_adapter(manifest: Mapping[str, Any]) -> str:
    """What an adapter was trained for, by its manifest: one that does not say so tells it by its prompt."""
    if "task" in manifest:
        return str(manifest["task"])
    if "prompt" not in manifest:
        return "head"
    # A prompt of lists has a form, one of single documents an order.
    return "order" if "form" in manifest["prompt"] else "judge"
