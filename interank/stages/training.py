"""Helpers of the stages that train: the adapter's form, and the files beside it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from interank.artifact import Workplace
from interank.engines.bases import begun_from
from interank.engines.models import PEFT, device
from interank.engines.weights import read_config
from interank.plots import training_curves
from interank.recipe import RewardModelRecipe
from interank.settings import LoraRecipe, Quantisation
from interank.tasks.recipes import DistillRecipe
from interank.training.planning import Choice


def in_its_shape(recipe: DistillRecipe) -> DistillRecipe:
    """The recipe; if its student is an adapter, `lora` has that adapter's shape."""
    start = begun_from(recipe.student)
    if start is None:
        return recipe
    config = read_config(start.path / "adapter" / PEFT)
    layers = config.get("layers_to_transform")
    lora = LoraRecipe(
        rank=config["r"],
        alpha=config["lora_alpha"],
        dropout=config["lora_dropout"],
        targets=tuple(sorted(config["target_modules"])),
        layers=len(layers) if layers else None,
    )
    return recipe.model_copy(update={"lora": lora})


def choice_of(recipe: DistillRecipe | RewardModelRecipe, *, head: bool) -> Choice:
    """The recipe's choices on how the student is trained."""
    return Choice(
        recipe.lora,
        recipe.quantisation,
        recipe.double_quantisation,
        recipe.precision,
        recipe.trainer.get("gradient_checkpointing"),
        head=head,
        shorter=recipe.shorter,
    )


def base_dtype(model: Any, quantisation: Quantisation) -> str:
    """The number format of the frozen weights."""
    return quantisation if quantisation != "none" else str(model.dtype).removeprefix("torch.")


def write_cost(place: Workplace, figures: Mapping[str, Any], seconds: float) -> None:
    """Write a training's costs, and its log beside them."""
    place.write_json("cost.json", {"seconds": round(seconds, 3), "device": device(), "trainer": dict(figures)})
    log_file = place.work / "log.jsonl"
    if log_file.exists():
        shutil.copyfile(log_file, place.folder / "log.jsonl")


def draw(place: Workplace, history: Sequence[Mapping[str, float]]) -> list[str]:
    """Write the training's curves, and return the names of their files."""
    plots = training_curves(history)
    for plot in plots:
        (place.folder / f"{plot.name}.svg").write_text(plot.svg, "utf-8")
    return [f"{plot.name}.svg" for plot in plots]
