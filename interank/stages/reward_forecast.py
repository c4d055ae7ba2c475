"""check: what training a reward model takes, told before anything is loaded."""

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


def marking(recipe: RewardModelRecipe) -> list[str]:
    """Memory and time of a training and its twin, as far as what it learns of is at hand."""
    student = model_here(recipe.student)
    if recipe.judgments is None or student is None:
        return []
    rows = marked(read_explanations(recipe.judgments, "train"), recipe.left_out)
    data = RewardTrainingData(recipe, student, rows)
    planned, _ = plan(student, choice_of(recipe, head=True), data.microbatch)
    once = sum(len(each.chosen) + len(each.rejected) for each in data.preferences)
    steps, epochs = epochs_of(len(data.preferences), {**PREFERENCES, **recipe.trainer})
    tokens = round(once * epochs * (1 + recipe.controls))
    work = (LEARN + READ * planned.checkpointing) * weights_of(student, head=True)
    twin = ", a twin's included" if recipe.controls else ""
    said = f"about {tokens} tokens in {round(steps * epochs)} steps{twin}"
    return [planned.told(), time_of(said, work * tokens), rent()]
