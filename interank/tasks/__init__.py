"""What differs by task: judge grades one document, order puts a list in order, head gives one number."""

from collections.abc import Mapping

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
]

DISTILLED: Mapping[str, type[DistillRecipe]] = {"judge": DistillJudge, "order": DistillOrder, "head": DistillHead}
"""The recipes of what distill can teach, by task."""
REFINED: Mapping[str, type[RlRecipe]] = {"judge": RlJudge, "order": RlOrder}
"""The recipes of what rl can improve, by task."""
