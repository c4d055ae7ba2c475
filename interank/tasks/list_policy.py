"""Policies that answer about lists, trained by GRPO with one prompt a list."""

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
from interank.judged_questions import JudgedQuestions
from interank.judgments import JudgedList
from interank.rewards import WeightedReward
from interank.tasks.judged_lists import in_orders, judged_lists, validation_lists, with_shuffled_grades
from interank.tasks.list_rollouts import ListRollouts
from interank.tasks.recipes import RlLists
from interank.tasks.window_prompts import WindowEncoder
from interank.training.grpo import prepare
from interank.training.halves import reporting
from interank.training.objective import Objective
from interank.training.refining import RefinementOutcome, see_through
from interank.training.samplers import sampler_of
from interank.training.trials import PolicyTrial

log = logging.getLogger(__name__)

TrialMaker = Callable[..., PolicyTrial]
"""Makes a trial of judged lists from `tokens` (an answer's budget), `shown` (the number of answers) and `reporting`."""


@dataclass(frozen=True, slots=True)
class ListPolicy:
    """A policy about lists: lists to train on, in seeded orders, and lists to validate with."""

    recipe: RlLists
    base: ModelFiles
    work: Path
    rollouts: ListRollouts
    validation: Sequence[JudgedList]
    trial: TrialMaker
    notes: Mapping[str, Any]
    does: str
    """What such an adapter does, for the card."""

    @property
    def encoder(self) -> PromptEncoder:
        """The encoder of the prompts."""
        return self.rollouts.encoder

    @property
    def algorithm(self) -> str:
        """The algorithm in words, for the card."""
        return f"grpo, on lists of at most {self.recipe.window} documents"

    def train(self, model: PeftModel, rewards: Sequence[WeightedReward]) -> RefinementOutcome:
        """Train by GRPO."""
        recipe, rollouts = self.recipe, self.rollouts
        log.info("rl on %d lists", len(rollouts.examples))
        longest = rollouts.max_length
        with sampler_of(recipe.rollouts, self.base.folder, model, self.work, max_length=longest) as sampler:
            rollouts.sampler = sampler
            trained = train_on_lists(model, self, rewards)
        counts = {"lists": len(rollouts.examples), "validation_lists": len(self.validation)}
        return RefinementOutcome(trained.figures, trained.notes, counts)


def train_on_lists(model: PeftModel, policy: ListPolicy, rewards: Sequence[WeightedReward]) -> RefinementOutcome:
    """Train the model's adapter in place, from the last complete checkpoint in its folder if there is one.

    With lists to validate with the best tried adapter is kept, else the last one.

    Raises:
        TrainingError: The training cannot start or continue; the last good adapter is kept.
    """
    recipe, rollouts, validation, work = policy.recipe, policy.rollouts, policy.validation, policy.work
    objective = Objective(
        rewards,
        # Every token of a completion leads to its answer.
        token_credit=False,
        refills=recipe.refills,
        reserve=rollouts.columns() if recipe.refills else (),
    )
    folder = work / "checkpoints"
    trainer = prepare(
        model, rollouts, objective, trainer=recipe.trainer, folder=folder, shared_prefix=recipe.shared_prefix
    )
    reported = reporting((item.query.query_id for item in validation), recipe.seed)
    shown, tokens = recipe.validation.explained, rollouts.tokens
    trial = policy.trial(validation, tokens=tokens, shown=shown, reporting=reported) if validation else None
    return see_through(trainer, trial, recipe.validation, recipe.collapse_detection, work, recipe.shorter)


def list_rollouts(recipe: RlLists, judgments: Path, encoder: WindowEncoder[Any]) -> ListRollouts:
    """The rollouts about the lists of a judgments artifact, in the adapter's prompts.

    Raises:
        InputError: No query has documents of two grades, or a completion has no room for an answer.
    """
    lists = [*judged_lists(JudgedQuestions(judgments, "train"), documents=recipe.window, seed=recipe.seed)]
    if not lists:
        raise InputError(
            f"{judgments} has no training query with documents of two grades, so there is nothing to order; "
            "generate judgments with more documents for each question"
        )
    if recipe.control == "shuffled":
        lists = with_shuffled_grades(lists, recipe.seed)
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
    """The policy: lists to train on and to validate with, in the adapter's prompts; `trial` takes encoder and lists.

    Raises:
        InputError: No query has documents of two grades, or a completion has no room for an answer.
    """
    judgments = Path(str(recipe.judgments))
    # The prompts are those of the adapter that the training starts from.
    notes = {name: adapter.manifest[name] for name in ("prompt", "prompt_hash")}
    rollouts = list_rollouts(recipe, judgments, encoder)
    questions = recipe.validation.questions
    validation = validation_lists(judgments, documents=recipe.window, questions=questions, seed=recipe.seed)
    return ListPolicy(recipe, base, work, rollouts, validation, partial(trial, encoder), notes, does)
