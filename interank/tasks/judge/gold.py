"""The gold check: a judge that no reward uses marks fresh explanations of the policy during training."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from interank import distributed, judging, rubric
from interank.engines.judge import explain, grade, reason
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Sampling
from interank.engines.transformers import TransformersEngine
from interank.errors import TrainingError
from interank.judging import Order
from interank.settings.policy import GoldRecipe
from interank.tasks.protocol import TeacherJudge
from interank.training.collapse import GOLD
from interank.training.trials import PolicyTrial, Probabilities
from interank.types import Example, Judgment
from interank.wording import counted

log = logging.getLogger(__name__)


class GoldTrial:
    """A policy's trial that adds the mean mark of fresh explanations to the figures where a check is due."""

    def __init__(
        self, trial: PolicyTrial, encoder: PromptEncoder, examples: Sequence[Example], order: Order, tokens: int
    ) -> None:
        """Take the trial, and the pairs, the order and the token budget of the answers that are sampled."""
        self._trial, self._encoder, self._examples = trial, encoder, list(examples)
        self._order, self._tokens = order, tokens
        self.questions: Mapping[str, int] = trial.questions
        self._check: tuple[GoldRecipe, TeacherJudge] | None = None
        self._step: Callable[[], int] = int

    def marked_by(self, recipe: GoldRecipe, judge: TeacherJudge, step: Callable[[], int]) -> GoldTrial:
        """The same trial with its judge, and a function that returns the current step."""
        self._check, self._step = (recipe, judge), step
        return self

    @property
    def start(self) -> list[Probabilities]:
        """See `PolicyTrial`."""
        return self._trial.start

    @start.setter
    def start(self, probabilities: list[Probabilities]) -> None:
        self._trial.start = probabilities

    @property
    def answers(self) -> Sequence[Mapping[str, Any]]:
        """See `PolicyTrial`."""
        return self._trial.answers

    def __call__(self, model: Any) -> dict[str, float]:
        """The trial's figures, and `gold` where a check is due.

        Raises:
            TrainingError: The judge marked fewer than half of the explanations.
        """
        figures = dict(self._trial(model))
        if self._check is not None and self._step() % self._check[0].every == 0:
            recipe, judge = self._check
            figures[GOLD] = distributed.from_first(lambda: self._marked(model, recipe, judge))
        return figures

    def _marked(self, model: Any, recipe: GoldRecipe, judge: TeacherJudge) -> float:
        step = self._step()
        chosen = random.Random(f"gold {step}").choices(self._examples, k=recipe.samples)
        answers = [judging.answer(judgment, self._order) for judgment in self._fresh(model, chosen, step)]
        questions = [
            rubric.question(item.query.text, item.document.full_text, [answer])
            for item, answer in zip(chosen, answers, strict=True)
        ]
        marks = [None if reply is None else rubric.mark(reply) for reply in judge(questions)]
        known = [mark for mark in marks if mark is not None]
        if len(known) * 2 < len(answers):
            raise TrainingError(
                f"validation.gold: the judge gave {counted(len(known), 'mark')} for "
                f"{counted(len(answers), 'explanation')}, at least half need one; check that it "
                "answers, and name another if its replies lack `Mark: N`"
            )
        if not step and len({*known}) == 1:
            log.warning(
                "validation.gold: the judge gave all %d explanations of the start the mark %g; if it always does, it "
                "will detect nothing",
                len(known),
                known[0] * rubric.BEST,
            )
        return fmean(known)

    def _fresh(self, model: Any, chosen: Sequence[Example], step: int) -> list[Judgment]:
        """The policy's most probable grades, with explanations sampled anew."""
        encoder, engine = self._encoder, TransformersEngine(model)
        prompts = [
            encoder.prompt(item.query, item.document, answer_tokens=self._tokens, order=self._order) for item in chosen
        ]
        sampling = Sampling(self._tokens - len(encoder.label_lead), 1.0, step)
        if self._order == "reason_first":
            return [verdict.judgment for verdict in reason(engine, encoder, prompts, sampling)]
        grades = [judging.most_probable(labels.logits) for labels in grade(engine, encoder, prompts)]
        # Label and gap are not sampled but count towards the answer's budget.
        room = max(1, sampling.max_new_tokens - 1 - len(encoder.gap))
        written = explain(engine, encoder, prompts, grades, Sampling(room, 1.0, step))
        return [
            Judgment(encoder.text(item.ids).strip(), relevance) for item, relevance in zip(written, grades, strict=True)
        ]
