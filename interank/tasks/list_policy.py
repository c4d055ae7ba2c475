"""What rl trains of answers about lists: one completion a list, by GRPO."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from peft import PeftModel

from interank.artifact import Artifact
from interank.engines.models import ModelFiles
from interank.engines.prompts import PromptEncoder
from interank.errors import InputError
from interank.judgments import JudgedList, read_judgments
from interank.rewards import Equipped
from interank.tasks.judged_lists import dealt_anew, in_orders, judged_lists, tried_lists
from interank.tasks.list_rollouts import ListRollouts
from interank.tasks.recipes import RlLists
from interank.tasks.window_prompts import WindowEncoder
from interank.training.grpo import prepare
from interank.training.halves import reporting
from interank.training.objective import Objective
from interank.training.refining import Refined, see_through
from interank.training.samplers import sampler_of
from interank.training.trials import PolicyTrial

log = logging.getLogger(__name__)

Tried = Callable[..., PolicyTrial]
"""Makes a trial of judged lists; takes `tokens`, an answer's budget, how many answers are `shown`, and `reporting`."""


@dataclass(frozen=True, slots=True)
class ListPolicy:
    """Lists in seeded orders, and those that the policy is tried on."""

    recipe: RlLists
    base: ModelFiles
    work: Path
    rollouts: ListRollouts
    tried: Sequence[JudgedList]
    trial: Tried
    notes: Mapping[str, Any]
    does: str
    """For the card: what such an adapter does."""

    @property
    def encoder(self) -> PromptEncoder:
        """The prompts'."""
        return self.rollouts.encoder

    @property
    def algorithm(self) -> str:
        """For the card."""
        return f"grpo, on lists of at most {self.recipe.window} documents"

    def train(self, model: PeftModel, rewards: Sequence[Equipped]) -> Refined:
        """By GRPO."""
        recipe, rollouts = self.recipe, self.rollouts
        log.info("rl on %d lists", len(rollouts.examples))
        longest = rollouts.max_length
        with sampler_of(recipe.rollouts, self.base.folder, model, self.work, max_length=longest) as sampler:
            rollouts.sampler = sampler
            trained = train_on_lists(model, self, rewards)
        counts = {"lists": len(rollouts.examples), "validation_lists": len(self.tried)}
        return Refined(trained.figures, trained.notes, counts)


def train_on_lists(model: PeftModel, policy: ListPolicy, rewards: Sequence[Equipped]) -> Refined:
    """Train the model's adapter in place, from the last complete checkpoint in its folder if there is one.

    Where there are lists to be tried the adapter is the best one that was, else the last.

    Raises:
        TrainingError: The training cannot begin or go on; the last good adapter is kept.
    """
    recipe, rollouts, tried, work = policy.recipe, policy.rollouts, policy.tried, policy.work
    objective = Objective(
        rewards,
        # Everything that is written leads to the answer.
        token_credit=False,
        refills=recipe.refills,
        reserve=rollouts.columns() if recipe.refills else (),
    )
    folder = work / "checkpoints"
    grpo = prepare(
        model, rollouts, objective, trainer=recipe.trainer, folder=folder, shared_prefix=recipe.shared_prefix
    )
    reported = reporting((item.query.query_id for item in tried), recipe.seed)
    told, tokens = recipe.validation.explained, rollouts.tokens
    trial = policy.trial(tried, tokens=tokens, shown=told, reporting=reported) if tried else None
    return see_through(grpo, trial, recipe.validation, recipe.collapse_detection, work, recipe.shorter)


def list_rollouts(recipe: RlLists, judgments: Path, encoder: WindowEncoder[Any]) -> ListRollouts:
    """The lists of a judgments artifact, as the adapter's prompts have them.

    Raises:
        InputError: No query has documents of two grades, or a completion has no room for an answer.
    """
    lists = judged_lists(read_judgments(judgments, "train"), documents=recipe.window, seed=recipe.seed)
    if not lists:
        raise InputError(
            f"{judgments} has no training query with documents of two grades, so there is nothing to order; "
            "generate judgments with more documents for each question"
        )
    if recipe.control == "shuffled":
        lists = dealt_anew(lists, recipe.seed)
    shown = in_orders(lists, recipe.shuffles, recipe.seed)
    return ListRollouts(encoder, shown, tokens=recipe.max_completion_tokens, seed=recipe.seed, settings=recipe.rollouts)


def list_policy(
    recipe: RlLists,
    adapter: Artifact,
    work: Path,
    *,
    base: ModelFiles,
    encoder: WindowEncoder[Any],
    trial: Callable[..., PolicyTrial],
    does: str,
) -> ListPolicy:
    """The lists to train on and to try, as the adapter's prompts have them; `trial` takes the encoder and the lists.

    Raises:
        InputError: No query has documents of two grades, or a completion has no room for an answer.
    """
    judgments = Path(str(recipe.judgments))
    # What it is asked is what the adapter before was asked.
    kept = {name: adapter.manifest[name] for name in ("prompt", "prompt_hash")}
    rollouts = list_rollouts(recipe, judgments, encoder)
    questions = recipe.validation.questions
    tried = tried_lists(judgments, documents=recipe.window, questions=questions, seed=recipe.seed)
    return ListPolicy(recipe, base, work, rollouts, tried, partial(trial, encoder), kept, does)
