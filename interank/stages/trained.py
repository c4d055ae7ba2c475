"""What all trainings have in common: the form that the recipe asks for, and what is left beside the adapter."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from interank.artifact import Workplace
from interank.engines.models import device
from interank.plots import training_curves
from interank.recipe import RewardModelRecipe
from interank.settings import Quantisation
from interank.tasks.recipes import DistillRecipe
from interank.training.planning import Choice


def choice_of(recipe: DistillRecipe | RewardModelRecipe, *, head: bool) -> Choice:
    """What the recipe says of the form in which its student is trained."""
    return Choice(
        recipe.lora,
        recipe.quantisation,
        recipe.double_quantisation,
        recipe.precision,
        recipe.trainer.get("gradient_checkpointing"),
        head=head,
        shorter=recipe.shorter,
    )


def base_weights(model: Any, quantisation: Quantisation) -> str:
    """What the frozen weights are in."""
    return quantisation if quantisation != "none" else str(model.dtype).removeprefix("torch.")


def write_cost(place: Workplace, figures: Mapping[str, Any], seconds: float) -> None:
    """Write what a training took, and its log beside it."""
    place.write_json("cost.json", {"seconds": round(seconds, 3), "device": device(), "trainer": dict(figures)})
    log_file = place.work / "log.jsonl"
    if log_file.exists():
        shutil.copyfile(log_file, place.folder / "log.jsonl")


def draw(place: Workplace, history: Sequence[Mapping[str, float]]) -> list[str]:
    """Write the training's curves; the names of their files."""
    plots = training_curves(history)
    for plot in plots:
        (place.folder / f"{plot.name}.svg").write_text(plot.svg, "utf-8")
    return [f"{plot.name}.svg" for plot in plots]
