"""GRPO on lists as a recipe describes it: one completion an order, watched and refilled as judgments are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from peft import PeftModel

from interank.judgments import JudgedList
from interank.rewards import Equipped
from interank.tasks.judge.policy import Trained, see_through, watch_by
from interank.tasks.order.recipe import RlOrder
from interank.tasks.order.rollouts import ListRollouts
from interank.tasks.order.trial import ListTrial
from interank.training.grpo import prepare
from interank.training.halves import reporting
from interank.training.objective import Objective


def train_on_lists(
    model: PeftModel,
    rollouts: ListRollouts,
    tried: Sequence[JudgedList],
    rewards: Sequence[Equipped],
    recipe: RlOrder,
    work: Path,
) -> Trained:
    """Train the model's adapter in place, from the last complete checkpoint in `work` if there is one.

    Where there are lists to be tried the adapter is the best one that was, else the last.

    Raises:
        TrainingError: The training cannot begin or go on; the last good adapter is kept.
    """
    objective = Objective(
        rewards,
        # Everything that is written leads to the order.
        token_credit=False,
        refills=recipe.refills,
        reserve=rollouts.columns() if recipe.refills else (),
    )
    folder = work / "checkpoints"
    grpo = prepare(
        model, rollouts, objective, trainer=recipe.trainer, folder=folder, shared_prefix=recipe.shared_prefix
    )
    reported = reporting((item.query.query_id for item in tried), recipe.seed)
    trial = ListTrial(rollouts.lists_encoder, tried, tokens=rollouts.tokens, reporting=reported) if tried else None
    return see_through(grpo, watch_by(recipe, trial, work), recipe.validation.every, work)
