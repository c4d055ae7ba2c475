"""check: a forecast of the memory and time of training a reward model; no model is loaded."""

from __future__ import annotations

from interank.engines.models import model_here
from interank.explanations import read_explanations
from interank.recipe import RewardModelRecipe
from interank.stages.estimates import LEARN, READ, epochs_of, rent, time_of
from interank.stages.training import choice_of
from interank.tasks.head.reward_model.comparisons import marked
from interank.tasks.head.reward_model.training_data import RewardTrainingData
from interank.training.planning import plan, weights_of
from interank.training.preferences import PREFERENCES


def forecast_reward(recipe: RewardModelRecipe) -> list[str]:
    """Memory and time of the training and its control; empty where student or judgments are missing."""
    student = model_here(recipe.student)
    if recipe.judgments is None or student is None:
        return []
    rows = marked(read_explanations(recipe.judgments, "train"), recipe.left_out)
    data = RewardTrainingData(recipe, student, rows)
    planned, _ = plan(student, choice_of(recipe, head=True), data.microbatch)
    once = sum(len(each.chosen) + len(each.rejected) for each in data.preferences)
    steps, epochs = epochs_of(len(data.preferences), {**PREFERENCES, **recipe.trainer})
    trainings = 1 + recipe.controls
    tokens = round(once * epochs * trainings)
    work = (LEARN + READ * planned.checkpointing) * weights_of(student, head=True)
    twin = ", the control's included" if recipe.controls else ""
    passes = f"about {tokens} tokens in {round(steps * epochs) * trainings} steps{twin}"
    return [planned.told(), time_of(passes, work * tokens), rent()]
