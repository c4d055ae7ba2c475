"""Checks at the start of a command: missing keys, an existing output, inputs that are missing or of another kind.

Nothing here loads torch. The stages, which do, repeat these checks and make more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from interank.artifact import Existing
from interank.distributed import TRAINED_TOGETHER, refuse_several_processes
from interank.inputs import Input, check_inputs
from interank.outputs import Partial, check_free, check_replaceable, output_folder
from interank.recipe import EvaluateRecipe, GenerateRecipe, Recipe, RewardModelRecipe, RunRecipe
from interank.stages.inputs import require_inputs
from interank.tasks.parts import part
from interank.tasks.recipes import DistillRecipe


def refuse_early(recipe: Recipe, out: Path, *, read: Iterable[Path], existing: Existing) -> None:
    """Raise where a stage cannot begin.

    Args:
        recipe: The stage's recipe.
        out: The output's folder; of a pipeline the folder of all its stages.
        read: Paths that are read besides the recipe's inputs.
        existing: What to do with an output that exists.

    Raises:
        InterankError: The reason.
    """
    if recipe.stage not in TRAINED_TOGETHER:
        refuse_several_processes()
    require_inputs(recipe)
    named = _named(recipe)
    # An input inside the output's folder is reported as such, before the folder's content is.
    read = [*read, *(each.path for each in named)]
    names = recipe.stages.named if isinstance(recipe, RunRecipe) else ("",)
    for name in names:
        place = output_folder(out / name, read=read).resolve()
        if existing == "refuse":
            check_free(out / name, Partial(place))
        elif existing == "overwrite":
            check_replaceable(place)
    check_inputs(named, glance=True)


def glance(recipe: Recipe) -> None:
    """Check that the recipe's inputs exist and are of the right kind.

    Raises:
        InterankError: An input is missing or of another kind.
    """
    check_inputs(_named(recipe), glance=True)


def _named(recipe: Recipe) -> Sequence[Input]:
    """The inputs of the recipe's stage."""
    # Importing the modules that name them takes a while.
    if isinstance(recipe, RunRecipe):
        stages = recipe.stages.without_handed()
        parts = {name: getattr(stages, name) for name in stages.named}
        return [replace(each, name=f"{name}.{each.name}") for name, own in parts.items() for each in _named(own)]
    if isinstance(recipe, GenerateRecipe):
        from interank.stages import generating

        return generating.named(recipe)
    if isinstance(recipe, EvaluateRecipe):
        from interank.stages import evaluating

        return evaluating.named(recipe)
    if isinstance(recipe, DistillRecipe):
        inputs: Sequence[Input] = part(recipe.task, "inputs").inputs(recipe)
        return inputs
    if isinstance(recipe, RewardModelRecipe):
        from interank.tasks.head.reward_model import inputs as reward_inputs

        return reward_inputs.named(recipe)
    from interank.stages import rl_inputs

    return rl_inputs.named(recipe)
