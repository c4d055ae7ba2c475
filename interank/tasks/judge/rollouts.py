"""A judge's rollouts in GRPO: one prompt a pair, whole queries in a batch."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from trl import GRPOTrainer

from interank import judging
from interank.engines.judge import before_label, grade
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Completion, Engine, Sampling
from interank.engines.soundness import require_completions
from interank.errors import PromptError, TrainingError
from interank.judging import Order
from interank.judgments import by_question
from interank.settings import RolloutsRecipe
from interank.tasks.judge.rows import columns
from interank.training.rollouts import PolicyRollouts
from interank.training.samplers import Sampler, sampled_rows
from interank.types import Document, Example, Query, grouped


class Rollouts(PolicyRollouts):
    """Generates judgments, with the probabilities of their grades.

    Grade-first answers begin with the forced words before the grade, which are masked out of the loss: the policy
    does not choose them at inference either.
    """

    def __init__(
        self,
        encoder: PromptEncoder,
        examples: Sequence[Example],
        *,
        tokens: int,
        seed: int,
        sampler: Sampler | None = None,
        settings: RolloutsRecipe | None = None,
        orders: Sequence[Order] = (),
    ) -> None:
        """Prepare the prompts.

        Args:
            encoder: Makes the ids.
            examples: The judged pairs, one a row.
            tokens: The token budget of an answer.
            seed: Sampling depends on it and on the step.
            sampler: Samples in place of the model in training.
            settings: The recipe's rollout settings, for the trainer.
            orders: The order of each example's answer; empty takes that of the encoder's settings for all.
        """
        self.orders = list(orders) or [encoder.settings.order] * len(examples)
        self.examples = examples
        self._queries = {item.query.text: item.query for item in examples}
        rows = [
            (encoder.prompt(item.query, item.document, answer_tokens=tokens, order=order), columns(item, order))
            for item, order in zip(examples, self.orders, strict=True)
        ]
        super().__init__(encoder, rows, tokens=tokens, seed=seed, settings=settings, sampler=sampler)
        self._trainer: Any = None

    @property
    def recorded(self) -> tuple[str, ...]:
        """The columns that rewards get, with the grades' probabilities."""
        return (*super().recorded, "probabilities")

    def sampling(self, trainer: GRPOTrainer) -> Sampling:
        """The sampling settings; the forced words before a grade count towards an answer's budget in both orders."""
        whole = super().sampling(trainer)
        return replace(whole, max_new_tokens=self.tokens - len(self.encoder.label_lead))

    def __call__(self, prompts: list[str], trainer: GRPOTrainer) -> dict[str, Any]:
        """TRL's rollout function: one completion for each row, in row order."""
        encoder, self._trainer = self.encoder, trainer
        chosen = [self.prompts[int(number)] for number in prompts]
        orders = [self.orders[int(number)] for number in prompts]
        leads = [encoder.label_lead if order == "grade_first" else () for order in orders]
        begun = [prompt.then(lead) for prompt, lead in zip(chosen, leads, strict=True)]
        with self.sampler.engine(trainer) as engine:
            completions = engine.generate(begun, self.sampling(trainer), end=encoder.end)
            require_completions(completions)
            at = [self._before_grade(*row) for row in zip(chosen, orders, completions, strict=True)]
            probabilities = self._graded(engine, at)
        rows = sampled_rows(chosen, leads, completions, end=encoder.end)
        return {**rows, "probabilities": [list(three) for three in probabilities]}

    def regrade(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, float, float]]:
        """The current policy's grade probabilities of any pairs of texts, without an explanation; a tool for rewards.

        Raises:
            TrainingError: Nothing was sampled yet, so there is no policy.
        """
        if self._trainer is None:
            raise TrainingError("regrade was called before anything was sampled; call it from a reward, in training")
        prompts = [
            self.encoder.prompt(
                self._queries.get(query) or Query("", query),
                Document("", document),
                answer_tokens=self.tokens,
                order="grade_first",
            )
            for query, document in pairs
        ]
        with self.sampler.engine(self._trainer) as engine:
            return self._graded(engine, prompts)

    def _before_grade(self, prompt: Prompt, order: Order, completion: Completion) -> Prompt:
        """The prompt and answer up to the grade's label line."""
        if order == "grade_first":
            return prompt
        own = before_label(self.encoder, completion)
        return prompt.then((*own, *(self.encoder.gap if own else ())))

    def _graded(self, engine: Engine, prompts: Sequence[Prompt]) -> list[tuple[float, float, float]]:
        """The three grades' probabilities at the grade's position; equal prompts are read once."""
        distinct = list(dict.fromkeys(prompts))
        try:
            read = dict(zip(distinct, grade(engine, self.encoder, distinct), strict=True))
        except PromptError as error:
            raise TrainingError(
                f"the policy's grades are no longer numbers ({error}); lower trainer.learning_rate or "
                "trainer.max_grad_norm and start again"
            ) from None
        return [judging.probabilities(read[prompt].logits) for prompt in prompts]


def whole_queries(
    examples: Sequence[Example], *, documents: int, seed: int, hard: Collection[tuple[str, str]] | None = None
) -> list[Example]:
    """Queries in seeded order, each with exactly `documents` of its documents, of at least two grades.

    A batch that is cut at multiples of `documents` then holds whole queries. Documents of a single grade have no
    ranking to learn, so their query is left out. The documents are spread over the grades as evenly as the query
    allows: where most are irrelevant, grading everything 0 would be rewarded.

    `hard` holds pairs of query and document ids. If it is given, a query without a hard document is left out, and the
    hard documents of each grade are taken first; other documents fill up the query.

    Raises:
        TrainingError: No query has `documents` documents of at least two grades.
    """
    rng = random.Random(seed)
    groups = []
    for items in by_question(examples):
        sample = _spread(items, documents, rng, hard or ())
        if hard is not None and not any(_pair(item) in hard for item in sample):
            continue
        if len(sample) == documents and len({item.judgment.relevance for item in sample}) > 1:
            groups.append(sample)
    if not groups:
        raise TrainingError(
            f"no training query has {documents} documents of at least two grades; lower documents_per_query, "
            "or generate judgments with more documents for each question"
        )
    rng.shuffle(groups)
    return [item for group in groups for item in group]


def _pair(item: Example) -> tuple[str, str]:
    return item.query.query_id, item.document.doc_id


def _spread(
    items: Sequence[Example], number: int, rng: random.Random, hard: Collection[tuple[str, str]]
) -> list[Example]:
    """`number` of a query's examples in input order; the draw takes one of each grade in turn."""
    drawn = sorted(rng.sample(range(len(items)), len(items)), key=lambda place: _pair(items[place]) not in hard)
    by_grade = grouped(drawn, lambda place: int(items[place].judgment.relevance))
    turns = zip_longest(*(by_grade[grade] for grade in sorted(by_grade, reverse=True)))
    spread = [place for turn in turns for place in turn if place is not None]
    return [items[place] for place in sorted(spread[:number])]
