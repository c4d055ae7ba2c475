"""The rewards that mark an evaluation's explanations, with their frozen reader and their reward models."""

from __future__ import annotations

import logging
from pathlib import Path

from interank.artifact import open_artifact
from interank.errors import InputError
from interank.evaluation.explanation_marks import COLUMNS
from interank.inputs import Input
from interank.rewards import Reward, WeightedReward
from interank.settings.base import validated
from interank.settings.rewards import MarkingRecipe
from interank.stages.judge_adapters import judge_adapter

log = logging.getLogger(__name__)


def check(recipe: MarkingRecipe) -> list[Reward]:
    """The rewards, checked before any model is loaded.

    Raises:
        InputError: A reward values lists, asks a judge, or needs what an evaluation has not, as the judged grade.
    """
    rewards = [Reward.from_recipe(entry) for entry in recipe.rewards]
    for reward in rewards:
        if reward.of != "judgments" or reward.needs_judge:
            raise InputError(
                f"explanations.rewards: {reward.use} {'asks a judge' if reward.needs_judge else 'values lists'}, and "
                "explanations are marked by a reader alone; take stance, support, or explanation_quality with "
                "params.model"
            )
        reward.check_columns([*COLUMNS[1:], "reader"])
    return rewards


def named(recipe: MarkingRecipe, base: str | None) -> list[Input]:
    """The reader, if it exists yet, and the models that the rewards name, which need the reader's base."""
    # It imports tasks, which load torch.
    from interank.stages.reward_models import named_models

    given = recipe.reader
    if given is None:
        return named_models(recipe.rewards, "explanations.rewards")

    def fits(place: Path) -> None:
        from interank.engines.bases import base_here
        from interank.engines.reward_adapter import require_same

        reader = open_artifact(given, "adapter")
        files = base_here(reader, base)
        if files is not None:
            require_same(open_artifact(place, "reward"), reader, files)

    models = named_models(recipe.rewards, "explanations.rewards", fits=fits)
    return [judge_adapter("explanations.reader", given, base), *models]


def marking(recipe: MarkingRecipe, base: str | None, tokens: int) -> list[WeightedReward]:
    """The rewards with the loaded reader and reward models."""
    # Scoring stored runs takes seconds; importing torch would double them.
    from interank.engines.adapters import with_adapter
    from interank.engines.bases import find_base
    from interank.engines.models import load_model, load_tokenizer
    from interank.engines.prompts import PromptEncoder
    from interank.engines.reward_adapter import tokens_read
    from interank.settings import PromptSettings
    from interank.stages.reward_models import reward_models, with_reward_models
    from interank.tasks.judge.reader import ModelReader

    assert recipe.reader is not None
    rewards = check(recipe)
    for place in reward_models(rewards).values():
        most = tokens_read(place)
        if most is not None and tokens > most:
            log.warning(
                "%s reads %d tokens of an explanation, and max_reasoning_tokens lets write %d; the rest is not marked",
                place,
                most,
                tokens,
            )
    start = open_artifact(recipe.reader, "adapter")
    files = find_base(start, base)
    model = with_adapter(load_model(files), start.path / "adapter")
    tokenizer = load_tokenizer(files)
    encoder = PromptEncoder(tokenizer, validated(PromptSettings, start.manifest["prompt"], f"{start.path}: prompt"))
    tools = {"reader": ModelReader(model, encoder, tokens=tokens)}
    return [reward.equipped(**tools) for reward in with_reward_models(model, rewards, tokenizer, start, files)]
