"""GRPO of a judge: its pairs, the order of their answers, the objective, and the trials on the way."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peft import PeftModel

from interank.engines.prompts import PromptEncoder
from interank.judged_questions import validation_sample
from interank.judging import Order
from interank.judgments import by_question
from interank.rewards import Reward, WeightedReward
from interank.tasks.judge.gold import GoldTrial
from interank.tasks.judge.hard_examples import Hard
from interank.tasks.judge.reader import ModelReader
from interank.tasks.judge.recipe import RlJudge
from interank.tasks.judge.rollouts import Rollouts, whole_queries
from interank.tasks.judge.trial import AnswerTrial
from interank.tasks.protocol import TeacherJudge
from interank.training.grade_gradient import GradeLoss
from interank.training.grpo import prepare
from interank.training.halves import reporting
from interank.training.objective import Objective
from interank.training.policy import PolicyTrainer
from interank.training.reference import REFERENCE, keep_reference
from interank.training.refining import RefinementOutcome, see_through
from interank.training.samplers import Sampler
from interank.training.trials import PolicyTrial
from interank.types import Example


@dataclass(frozen=True, slots=True)
class TrainingQueries:
    """The pairs to train on, grouped by query, the order of each pair's answer, and the pairs to validate with."""

    examples: list[Example]
    orders: list[Order]
    validation: list[Example]
    counts: Mapping[str, int]
    gold: TeacherJudge | None = None
    """Marks fresh explanations during training, where the recipe has a gold check."""


def training_queries(
    recipe: RlJudge,
    splits: tuple[Sequence[Example], Sequence[Example]],
    reason_share: float,
    hard: Hard | None = None,
) -> TrainingQueries:
    """The queries to train on: with enough documents and, where the recipe wants hard examples, with hard pairs.

    Args:
        recipe: Sets the numbers of documents and questions, and the seed.
        splits: The judgments to train on, and those to validate with.
        reason_share: The share of the queries that are answered explanation first.
        hard: The pairs that are hard for the start policy; queries without one are left out.

    Raises:
        TrainingError: No query is left.
    """
    train, validation = splits
    counts = {"judged_pairs": len(train), **(hard.counts if hard else {})}
    pairs = hard.pairs if hard else None
    examples = whole_queries(train, documents=recipe.documents_per_query, seed=recipe.seed, hard=pairs)
    rng = random.Random(recipe.seed)
    if recipe.control == "shuffled":
        examples = _shuffled(examples, recipe.documents_per_query, rng)
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
    rewards: Sequence[WeightedReward],
    recipe: RlJudge,
    sampler: Sampler,
    work: Path,
) -> RefinementOutcome:
    """Train the model's adapter in place, from the last complete checkpoint in `work` if there is one.

    With validation questions the best tried adapter is kept, else the last one.

    Raises:
        TrainingError: The training cannot start or continue; the last good adapter is kept.
    """
    folder = work / "checkpoints"
    grade = _grade_loss(recipe, rewards)
    grade_first = "grade_first" in queries.orders
    # Where grades are not sampled and nothing after them is rewarded, an answer ends with its grade.
    grade_alone = (
        grade.instead and {reward.credit for reward in rewards} == {"grade"} and {*queries.orders} == {"grade_first"}
    )
    tokens = len(encoder.label_lead) + 1 if grade_alone else recipe.max_completion_tokens
    rollouts = Rollouts(
        encoder,
        queries.examples,
        tokens=tokens,
        seed=recipe.seed,
        sampler=sampler,
        settings=recipe.rollouts,
        orders=queries.orders,
    )
    has_reader = any(isinstance(reward.reward, Reward) and reward.reward.asks_reader for reward in rewards)
    tools: dict[str, Any] = {"regrade": rollouts.regrade}
    if has_reader:
        tools["reader"] = ModelReader(model, encoder, tokens=recipe.max_completion_tokens, adapter=REFERENCE)
    objective = Objective(
        [reward.with_tools(**tools) for reward in rewards],
        lead=encoder.label_lead,
        labels=encoder.label_ids,
        grade=grade if grade_first else GradeLoss(),
        token_credit=recipe.token_credit and grade_first,
        documents=recipe.documents_per_query,
        refills=recipe.refills,
        reserve=rollouts.columns() if recipe.refills else (),
    )
    trainer = prepare(
        model, rollouts, objective, trainer=recipe.trainer, folder=folder, shared_prefix=recipe.shared_prefix
    )
    if has_reader:
        keep_reference(model)
    trial = _trial(recipe, encoder, queries, trainer)
    return see_through(trainer, trial, recipe.validation, recipe.collapse_detection, work, recipe.shorter)


def _shuffled(examples: Sequence[Example], documents: int, rng: random.Random) -> list[Example]:
    """The examples with the judgments of each query, `documents` in a row, shuffled among its documents."""
    shuffled = []
    for start in range(0, len(examples), documents):
        items = examples[start : start + documents]
        judgments = [item.judgment for item in items]
        rng.shuffle(judgments)
        shuffled += [replace(item, judgment=judgment) for item, judgment in zip(items, judgments, strict=True)]
    return shuffled


def _grade_loss(recipe: RlJudge, rewards: Sequence[WeightedReward]) -> GradeLoss:
    settings = recipe.grade
    return GradeLoss(
        [reward for reward in rewards if reward.credit == "grade" and settings.gradient == "exact"],
        settings.calibration,
        settings.listwise,
        settings.listwise_loss,
        instead=settings.gradient != "sampled",
    )


def _trial(
    recipe: RlJudge, encoder: PromptEncoder, queries: TrainingQueries, trainer: PolicyTrainer
) -> PolicyTrial | None:
    if not queries.validation:
        return None
    order: Order = "grade_first" if "grade_first" in queries.orders else "reason_first"
    reported = reporting((item.query.query_id for item in queries.validation), recipe.seed)
    trial = AnswerTrial(
        encoder,
        queries.validation,
        order=order,
        tokens=recipe.max_completion_tokens,
        explained=recipe.validation.explained,
        reporting=reported,
    )
    gold = recipe.validation.gold
    if gold is None or queries.gold is None:
        return trial
    # A mark decides which adapter is kept, so that it is no matter of the questions that only report.
    choosing = [item for item in queries.validation if item.query.query_id not in reported]
    fresh = GoldTrial(trial, encoder, choosing, order, recipe.max_completion_tokens)
    return fresh.marked_by(gold, queries.gold, lambda: int(trainer.state.global_step))
