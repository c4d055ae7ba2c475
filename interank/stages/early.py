"""What a command refuses at once: missing keys, a taken place, inputs that are not there or of another kind.

Nothing here loads what runs models; the stages, which do, check the same and more before they begin.
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
    """Stop where a stage cannot begin.

    Args:
        recipe: The stage's.
        out: Where its output goes; of a pipeline the folder of all its stages.
        read: What the output is made from beside the recipe's inputs.
        existing: What to do about an output that is there.

    Raises:
        InterankError: Says why.
    """
    if recipe.stage not in TRAINED_TOGETHER:
        refuse_several_processes()
    require_inputs(recipe)
    named = _named(recipe)
    # An input in the output's place is told as what it is, before what the output's place holds.
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
    """See that what a recipe names stands there and is of its kind.

    Raises:
        InterankError: Something of it does not, or is not.
    """
    check_inputs(_named(recipe), glance=True)


def _named(recipe: Recipe) -> Sequence[Input]:
    """What the recipe's stage reads."""
    # Each stage's inputs are found by what reads them, which takes a while to import.
    if isinstance(recipe, RunRecipe):
        stages = recipe.stages
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
        from interank.tasks.head.reward_model import inputs as explained

        return explained.named(recipe)
    from interank.stages import rl_inputs

    return rl_inputs.named(recipe)
