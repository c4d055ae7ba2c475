"""The judge as a policy that rl trains: by GRPO, or by the original InteRank's reward-weighted refinement."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peft import PeftModel

from interank.artifact import Artifact
from interank.engines.models import ModelFiles, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.errors import InputError, TrainingError
from interank.judged_questions import validation_sample
from interank.judging import Order
from interank.judgments import by_question, read_judgments
from interank.rewards import TRL_COLUMNS, Reward, Subject, WeightedReward
from interank.settings import PromptSettings
from interank.settings.base import validated
from interank.tasks.judge import grpo, reward_weighted
from interank.tasks.judge.answers import Answers
from interank.tasks.judge.hard_examples import find_hard
from interank.tasks.judge.reader import ModelReader
from interank.tasks.judge.recipe import RlJudge
from interank.tasks.protocol import ShownPrompt, TeacherJudge
from interank.training.refining import RefinementOutcome
from interank.training.samplers import sampler_of
from interank.types import Example

log = logging.getLogger(__name__)

SUBJECT: Subject = "judgments"
COLUMNS = ("query_id", "doc_id", "query", "document", "relevance", "order", "probabilities")
"""The columns that rewards get with each completion."""


def check(recipe: RlJudge, adapter: Artifact, rewards: Sequence[Reward]) -> None:
    """Refuse a reward or a loss that needs an order of answers or a column that this training lacks.

    Raises:
        InputError: A reward or a loss needs one.
    """
    _check_orders(recipe, rewards, _reason_share(recipe, adapter))
    columns = (*COLUMNS, "reader", *(("regrade", *TRL_COLUMNS) if recipe.algorithm == "grpo" else ()))
    for reward in rewards:
        reward.check_columns([*columns, "judge"] if recipe.judge else columns)


def shown(row: Mapping[str, Any]) -> ShownPrompt:
    """The document and its judged grade."""
    return ShownPrompt("Document", [row["document"]], judged=str(row["relevance"]))


def policy(recipe: RlJudge, adapter: Artifact, base: ModelFiles, work: Path) -> JudgePolicy:
    """The policy: the recipe's judgments, with the prompt settings of the adapter that it starts from."""
    judgments = Path(str(recipe.judgments))
    settings = validated(PromptSettings, adapter.manifest["prompt"], f"{adapter.path}: prompt")
    splits = read_judgments(judgments, "train"), read_judgments(judgments, "validation")
    if recipe.algorithm == "reward_weighted":
        _require_explanations(judgments, splits[0])
    elif recipe.validation.questions and not validation_sample(by_question(splits[1]), 1, recipe.seed):
        _without_trials(recipe, judgments)
    share = _reason_share(recipe, adapter)
    notes = {
        "prompt": settings.model_dump(mode="json"),
        "prompt_hash": settings.wording,
        "modes": adapter.manifest.get("modes"),
        "reason_share": share,
    }
    return JudgePolicy(recipe, PromptEncoder(load_tokenizer(base), settings), base, work, splits, share, notes)


def _without_trials(recipe: RlJudge, judgments: Path) -> None:
    """Tell of judgments that no trial can be made on.

    Raises:
        InputError: The recipe has a gold check, which is part of a trial.
    """
    lacking = f"no validation question of {judgments} has documents of two grades, so there is no validation"
    if recipe.validation.gold is not None:
        raise InputError(
            f"validation.gold: {lacking}, at which explanations are marked; hold questions back for it with interank "
            "split, or leave gold out"
        )
    log.warning("%s, nothing stops a collapse, and the last step is kept; interank split holds questions back", lacking)


def _require_explanations(judgments: Path, train: Sequence[Example]) -> None:
    """Refuse judgments without explanations, which cannot be learned beside sampled answers.

    Raises:
        InputError: Some have no explanation.
    """
    unexplained = sum(not item.judgment.reasoning for item in train)
    if unexplained:
        raise InputError(
            f"found no explanation for {unexplained} of {len(train)} judgments of {judgments}; reward_weighted learns "
            "their answers beside the sampled ones; let a teacher explain them with interank generate judgments=DIR "
            "teacher.grades=given, or set algorithm: grpo"
        )


@dataclass(frozen=True, slots=True)
class JudgePolicy:
    """A judge to train: its judgments, the order of its answers, and the algorithm."""

    recipe: RlJudge
    encoder: PromptEncoder
    base: ModelFiles
    work: Path
    splits: tuple[list[Example], list[Example]]
    """To train on, and to validate with."""
    reason_share: float
    notes: Mapping[str, Any]

    does = "judges relevance"

    @property
    def algorithm(self) -> str:
        """The algorithm in words, for the card."""
        recipe = self.recipe
        return (
            f"{recipe.algorithm}, grade gradient {recipe.grade.gradient}, {self.reason_share:.0%} of the queries "
            "explanation first"
        )

    @property
    def order(self) -> Order:
        """The order in which most queries are answered."""
        return "reason_first" if self.reason_share >= 0.5 else "grade_first"

    def train(
        self, model: PeftModel, rewards: Sequence[WeightedReward], gold: TeacherJudge | None = None
    ) -> RefinementOutcome:
        """Train by the recipe's algorithm."""
        if self.recipe.algorithm == "grpo":
            return self._by_grpo(model, rewards, gold)
        return self._by_reward_weight(model, rewards)

    def _by_grpo(
        self, model: PeftModel, rewards: Sequence[WeightedReward], gold: TeacherJudge | None
    ) -> RefinementOutcome:
        recipe, encoder, work = self.recipe, self.encoder, self.work
        longest = encoder.settings.max_length
        with sampler_of(recipe.rollouts, self.base.folder, model, work, max_length=longest) as sampler:
            hard = None
            if recipe.hard_examples:
                with sampler.engine_of(model) as engine:
                    hard = find_hard(engine, encoder, self.splits[0], recipe, self.order, work / "hard.jsonl")
            queries = grpo.training_queries(recipe, self.splits, self.reason_share, hard)
            log.info("rl on %d pairs of %d queries", len(queries.examples), queries.counts["queries"])
            trained = grpo.train(model, encoder, replace(queries, gold=gold), rewards, recipe, sampler, work)
        return RefinementOutcome(trained.figures, trained.notes, queries.counts)

    def _by_reward_weight(self, model: PeftModel, rewards: Sequence[WeightedReward]) -> RefinementOutcome:
        recipe, encoder, work, train = self.recipe, self.encoder, self.work, self.splits[0]
        answers = Answers(encoder, train, recipe, self.order, work)
        longest = encoder.settings.max_length
        if not answers.sampled:
            with (
                sampler_of(recipe.rollouts, self.base.folder, model, work, max_length=longest) as sampler,
                sampler.engine_of(model) as engine,
            ):
                answers.sample(engine)
        if any(isinstance(reward.reward, Reward) and reward.reward.asks_reader for reward in rewards):
            # Nothing is learned yet: the policy is the adapter from which the training starts.
            reader = ModelReader(model, encoder, tokens=recipe.max_completion_tokens)
            rewards = [reward.with_tools(reader=reader) for reward in rewards]
        learned = list(answers.weighted(rewards))
        if not learned:
            raise TrainingError("no sampled answer reached reward_weighted.least; lower it")
        total = len(train) * (recipe.reward_weighted.samples + 1)
        log.info("learning %d of %d answers", len(learned), total)
        figures = reward_weighted.train(
            model,
            encoder.tokenizer,
            learned,
            trainer=recipe.trainer,
            seed=recipe.seed,
            folder=work / "checkpoints",
        )
        counts = {"pairs": len(train), "answers": total, "learned": len(learned)}
        return RefinementOutcome(figures, {"order": self.order}, counts)


def _reason_share(recipe: RlJudge, start: Artifact) -> float:
    if recipe.reason_share is not None:
        return recipe.reason_share
    modes = start.manifest.get("modes") or []
    if "reason" in modes and {"score", "explain"} & {*modes}:
        return 0.5
    return float(start.manifest["prompt"]["order"] == "reason_first")


def _check_orders(recipe: RlJudge, rewards: Sequence[Reward], reason_share: float) -> None:
    """Refuse a reward or a loss that needs an order of answers that is not trained.

    Raises:
        InputError: A reward or a loss needs one.
    """
    trained = {order for order, share in (("reason_first", reason_share), ("grade_first", 1 - reason_share)) if share}
    if "grade_first" not in trained and recipe.grade.listwise + recipe.grade.calibration:
        raise InputError(
            "grade.listwise and grade.calibration train grades that come before the explanation, and every query is "
            "answered explanation first; set reason_share below 1, or these to 0"
        )
    for reward in rewards:
        if not trained & {*reward.orders}:
            raise InputError(
                f"reward {reward.use} does not rate answers in {' and '.join(sorted(trained))} order; set "
                "reason_share above 0, or leave the reward out (grade.calibration is the loss for grade-first answers)"
            )
