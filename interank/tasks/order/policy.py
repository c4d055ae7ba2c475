"""What rl trains of orders: one completion a list, by GRPO."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel

from interank.artifact import Artifact
from interank.engines.models import ModelFiles, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.errors import InputError
from interank.judgments import JudgedList, read_judgments
from interank.rewards import TRL_COLUMNS, Equipped, Reward, Subject
from interank.settings import ListPromptSettings, PromptSettings
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.lists import dealt_anew, judged_lists
from interank.tasks.order.recipe import RlOrder
from interank.tasks.order.rollouts import ListRollouts, in_orders
from interank.tasks.order.trial import ListTrial, validation_lists
from interank.tasks.protocol import Shown
from interank.training.grpo import prepare
from interank.training.halves import reporting
from interank.training.objective import Objective
from interank.training.refining import Refined, see_through
from interank.training.samplers import sampler_of

log = logging.getLogger(__name__)

SUBJECT: Subject = "lists"
COLUMNS = ("query_id", "query", "doc_ids", "documents", "grades")
"""What each completion comes with, for rewards."""


def check(recipe: RlOrder, adapter: Artifact, rewards: Sequence[Reward]) -> None:
    """Stop where a reward asks for a column that there is not; whatever rewards lists goes with an adapter of lists.

    Raises:
        InputError: Says which.
    """
    for reward in rewards:
        reward.check_columns((*COLUMNS, *TRL_COLUMNS))


def shown(row: Mapping[str, Any]) -> Shown:
    """The list's documents with their numbers and judged grades."""
    listed = enumerate(zip(row["grades"], row["documents"], strict=True), start=1)
    return Shown("Documents", [f"[{number}] judged {grade}: {text}" for number, (grade, text) in listed])


def policy(recipe: RlOrder, adapter: Artifact, base: ModelFiles, work: Path) -> OrderPolicy:
    """The lists to train on and to try, as the adapter's prompts have them.

    Raises:
        InputError: No query has documents of two grades, or a completion has no room for a ranking.
    """
    judgments, tokenizer = Path(str(recipe.judgments)), load_tokenizer(base)
    # What it is asked is what the adapter before was asked.
    kept = {name: adapter.manifest[name] for name in ("prompt", "prompt_hash")}
    rollouts = list_rollouts(recipe, judgments, adapter, tokenizer)
    return OrderPolicy(recipe, base, work, rollouts, tried_lists(recipe, judgments), kept)


@dataclass(frozen=True, slots=True)
class OrderPolicy:
    """Lists in seeded orders, and those that the policy is tried on."""

    recipe: RlOrder
    base: ModelFiles
    work: Path
    rollouts: ListRollouts
    tried: Sequence[JudgedList]
    notes: Mapping[str, Any]

    does = "orders lists of documents"

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
            trained = train_on_lists(model, rollouts, self.tried, rewards, recipe, self.work)
        counts = {"lists": len(rollouts.examples), "validation_lists": len(self.tried)}
        return Refined(trained.figures, trained.notes, counts)


def train_on_lists(
    model: PeftModel,
    rollouts: ListRollouts,
    tried: Sequence[JudgedList],
    rewards: Sequence[Equipped],
    recipe: RlOrder,
    work: Path,
) -> Refined:
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
    told, tokens = recipe.validation.explained, rollouts.tokens
    trial = ListTrial(rollouts.lists_encoder, tried, tokens=tokens, shown=told, reporting=reported) if tried else None
    return see_through(grpo, trial, recipe.validation, recipe.seatbelt, work, recipe.shorter)


def list_rollouts(recipe: RlOrder, judgments: Path, adapter: Artifact, tokenizer: Any) -> ListRollouts:
    """The lists of a judgments artifact, as the adapter's prompts have them.

    Raises:
        InputError: No query has documents of two grades, or a completion has no room for a ranking.
    """
    lists = judged_lists(read_judgments(judgments, "train"), documents=recipe.window, seed=recipe.seed)
    if not lists:
        raise InputError(
            f"{judgments} has no training query with documents of two grades, so there is nothing to order; "
            "generate judgments with more documents for each question"
        )
    if recipe.control == "shuffled":
        lists = dealt_anew(lists, recipe.seed)
    encoder = ListEncoder(
        PromptEncoder(tokenizer, PromptSettings()), ListPromptSettings.model_validate(adapter.manifest["prompt"])
    )
    shown = in_orders(lists, recipe.shuffles, recipe.seed)
    return ListRollouts(encoder, shown, tokens=recipe.max_completion_tokens, seed=recipe.seed, settings=recipe.rollouts)


def tried_lists(recipe: RlOrder, judgments: Path) -> list[JudgedList]:
    """The lists of validation questions that the policy is tried on, with their own grades."""
    examples = read_judgments(judgments, "validation")
    lists = judged_lists(examples, documents=recipe.window, seed=recipe.seed)
    return validation_lists(lists, recipe.validation.questions, recipe.seed)
