"""The checks of rl before any model is loaded: its inputs, its rewards, and that they fit together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from interank.artifact import Artifact, open_artifact
from interank.errors import InputError
from interank.inputs import Input, adapter, check_inputs, judgments
from interank.rewards import Reward, Subject
from interank.stages.reward_models import named_models, reward_models
from interank.tasks import REFINED, task_of_adapter
from interank.tasks.parts import refining
from interank.tasks.recipes import RlRecipe
from interank.wording import listed


def check(recipe: RlRecipe) -> Sequence[Input]:
    """Open the recipe's inputs and rewards, and return the inputs.

    Raises:
        InterankError: An input or a reward cannot be used, or does not fit the others.
    """
    inputs = named(recipe)
    check_inputs(inputs)
    task = refining(recipe.task)
    rewards = [Reward.from_recipe(entry) for entry in recipe.rewards if entry.weight]
    _check_rewards(recipe, rewards, task.SUBJECT)
    if recipe.adapter:
        start = open_artifact(recipe.adapter, "adapter")
        _check_task(recipe, start)
        task.check(recipe, start, rewards)
        _check_reward_models(recipe, start, reward_models(rewards).values())
    return inputs


def named(recipe: RlRecipe) -> list[Input]:
    """The judgments, the adapter and the reward models that the recipe names."""
    inputs = [judgments(recipe.judgments)] if recipe.judgments else []
    if recipe.adapter:
        inputs.append(adapter("adapter", recipe.adapter, recipe.base))
    return [*inputs, *named_models(recipe.rewards, "rewards", getattr(recipe, "reward_model", None))]


def _check_reward_models(recipe: RlRecipe, adapter: Artifact, places: Iterable[Path]) -> None:
    """Raise where a reward model cannot share the policy's base.

    Raises:
        InputError: Its base or its prompt differs.
    """
    models = [open_artifact(place, "reward") for place in places]
    if not models:
        return
    # It loads torch.
    from interank.engines.bases import base_here
    from interank.engines.reward_adapter import require_reads, require_same

    base = base_here(adapter, recipe.base)
    for model in models:
        require_reads(model, recipe.max_completion_tokens)
        if base is not None:
            require_same(model, adapter, base)


def _check_task(recipe: RlRecipe, adapter: Artifact) -> None:
    """Raise where the adapter was trained for another task.

    Raises:
        InputError: Names that task.
    """
    task = task_of_adapter(adapter.manifest)
    if task not in REFINED:
        raise InputError(
            f"{adapter.path} was trained for task {task}, which rl does not reward; give an adapter of task "
            f"{listed(REFINED, last='or')} (distill trains heads further, by its key `adapter`)"
        )
    if task != recipe.task:
        raise InputError(
            f"{adapter.path} was trained for task {task}, and the recipe is of task {recipe.task}; set `task: {task}`"
        )


def _check_rewards(recipe: RlRecipe, rewards: Sequence[Reward], subject: Subject) -> None:
    """Raise where a reward values something else than the task's answers, or asks a judge that the recipe lacks.

    Raises:
        InputError: Names the reward.
    """
    for reward in rewards:
        if reward.of != subject:
            raise InputError(
                f"reward {reward.use} is of {reward.of}, and task {recipe.task} is of {subject}; take another reward"
            )
        if reward.needs_judge and recipe.judge is None:
            raise InputError(
                f"reward {reward.use} asks a judge and the recipe names none; give judge: {{model: ...}}, or a reward "
                "model as params.model"
            )
