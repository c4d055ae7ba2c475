"""GRPO as a recipe describes it: which pairs, in which order of answers, for which objective, watched by what."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peft import PeftModel

from interank.engines.prompts import PromptEncoder
from interank.judged import validation_sample
from interank.judging import Order
from interank.judgments import by_question
from interank.rewards import Equipped, Reward
from interank.tasks.judge.gold import GoldTrial
from interank.tasks.judge.hard_examples import Hard
from interank.tasks.judge.reader import ModelReader
from interank.tasks.judge.recipe import RlJudge
from interank.tasks.judge.rollouts import Rollouts, whole_queries
from interank.tasks.judge.trial import AnswerTrial
from interank.tasks.protocol import Judge
from interank.training.grade_gradient import GradeLoss
from interank.training.grpo import prepare
from interank.training.halves import reporting
from interank.training.objective import Objective
from interank.training.policy import PolicyTrainer
from interank.training.reference import REFERENCE, keep_reference
from interank.training.refining import Refined, see_through
from interank.training.samplers import Sampler
from interank.training.trying import PolicyTrial
from interank.types import Example


@dataclass(frozen=True, slots=True)
class TrainingQueries:
    """The pairs of whole queries, a query's on end, each with its answer's order; and what the policy is tried on."""

    examples: list[Example]
    orders: list[Order]
    tried: list[Example]
    counts: Mapping[str, int]
    gold: Judge | None = None
    """Who marks fresh explanations on the way, where the recipe asks for it."""


def training_queries(
    recipe: RlJudge,
    splits: tuple[Sequence[Example], Sequence[Example]],
    reason_share: float,
    hard: Hard | None = None,
) -> TrainingQueries:
    """What is trained on: queries of enough documents, where the recipe asks for it with pairs that are hard.

    Args:
        recipe: Says how many, and which.
        splits: The judgments to train on, and those to validate with.
        reason_share: Of the queries, so many are answered explanation first.
        hard: What is hard for the start policy; where it is given, what is not is left out.

    Raises:
        TrainingError: No query is left.
    """
    train, validation = splits
    counts = {"judged_pairs": len(train), **(hard.counts if hard else {})}
    pairs = hard.pairs if hard else None
    examples = whole_queries(train, documents=recipe.documents_per_query, seed=recipe.seed, hard=pairs)
    rng = random.Random(recipe.seed)
    if recipe.control == "shuffled":
        examples = _dealt_anew(examples, recipe.documents_per_query, rng)
    orders: list[Order] = []
    for _ in range(len(examples) // recipe.documents_per_query):
        orders += ["reason_first" if rng.random() < reason_share else "grade_first"] * recipe.documents_per_query
    counts |= {"pairs": len(examples), "queries": len(examples) // recipe.documents_per_query}
    tried = validation_sample(by_question(validation), recipe.validation.questions, recipe.seed)
    return TrainingQueries(examples, orders, tried, counts)


def train(
    model: PeftModel,
    encoder: PromptEncoder,
    queries: TrainingQueries,
    rewards: Sequence[Equipped],
    recipe: RlJudge,
    sampler: Sampler,
    work: Path,
) -> Refined:
    """Train the model's adapter in place, from the last complete checkpoint in `work` if there is one.

    Where there are validation questions the adapter is the best one that was tried, else the last.

    Raises:
        TrainingError: The training cannot begin or go on; the last good adapter is kept.
    """
    folder = work / "checkpoints"
    grade = _grade_loss(recipe, rewards)
    first = "grade_first" in queries.orders
    # With the grade summed over and nothing else rewarded, there is no use in writing on.
    alone = (
        grade.instead and {reward.credit for reward in rewards} == {"grade"} and {*queries.orders} == {"grade_first"}
    )
    tokens = len(encoder.label_lead) + 1 if alone else recipe.max_completion_tokens
    rollouts = Rollouts(
        encoder,
        queries.examples,
        tokens=tokens,
        seed=recipe.seed,
        sampler=sampler,
        settings=recipe.rollouts,
        orders=queries.orders,
    )
    asks = any(isinstance(reward.reward, Reward) and reward.reward.asks_reader for reward in rewards)
    tools: dict[str, Any] = {"regrade": rollouts.regrade}
    if asks:
        tools["reader"] = ModelReader(model, encoder, tokens=recipe.max_completion_tokens, adapter=REFERENCE)
    objective = Objective(
        [reward.with_tools(**tools) for reward in rewards],
        lead=encoder.label_lead,
        labels=encoder.label_ids,
        grade=grade if first else GradeLoss(),
        token_credit=recipe.token_credit and first,
        documents=recipe.documents_per_query,
        refills=recipe.refills,
        reserve=rollouts.columns() if recipe.refills else (),
    )
    grpo = prepare(
        model, rollouts, objective, trainer=recipe.trainer, folder=folder, shared_prefix=recipe.shared_prefix
    )
    if asks:
        keep_reference(model)
    trial = _trial(recipe, encoder, queries, grpo)
    return see_through(grpo, trial, recipe.validation, recipe.collapse_detection, work, recipe.shorter)


def _dealt_anew(examples: Sequence[Example], documents: int, rng: random.Random) -> list[Example]:
    """Each query's judgments, `documents` on end, on other documents of it."""
    dealt = []
    for start in range(0, len(examples), documents):
        items = examples[start : start + documents]
        judgments = [item.judgment for item in items]
        rng.shuffle(judgments)
        dealt += [replace(item, judgment=judgment) for item, judgment in zip(items, judgments, strict=True)]
    return dealt


def _grade_loss(recipe: RlJudge, rewards: Sequence[Equipped]) -> GradeLoss:
    settings = recipe.grade
    return GradeLoss(
        [reward for reward in rewards if reward.credit == "grade" and settings.gradient == "exact"],
        settings.calibration,
        settings.listwise,
        settings.listwise_loss,
        instead=settings.gradient != "sampled",
    )


def _trial(
    recipe: RlJudge, encoder: PromptEncoder, queries: TrainingQueries, grpo: PolicyTrainer
) -> PolicyTrial | None:
    if not queries.tried:
        return None
    order: Order = "grade_first" if "grade_first" in queries.orders else "reason_first"
    trial = AnswerTrial(
        encoder,
        queries.tried,
        order=order,
        tokens=recipe.max_completion_tokens,
        explained=recipe.validation.explained,
        reporting=reporting((item.query.query_id for item in queries.tried), recipe.seed),
    )
    gold = recipe.validation.gold
    if gold is None or queries.gold is None:
        return trial
    fresh = GoldTrial(trial, encoder, queries.tried, order, recipe.max_completion_tokens)
    return fresh.marked_by(gold, queries.gold, lambda: int(grpo.state.global_step))
