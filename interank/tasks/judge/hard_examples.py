"""How often the start policy gives each pair its judged grade, and which pairs are hard for it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from interank import distributed, judging
from interank.engines.judge import grade, reason
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Engine, Sampling
from interank.judging import Order
from interank.judgments import by_question
from interank.ledger import Ledger
from interank.settings import HardExamplesRecipe
from interank.tasks.judge.recipe import RlJudge
from interank.training.stored_parts import kept, together
from interank.types import Example

Pairs = frozenset[tuple[str, str]]
"""Query and document ids."""

# Answers sampled per call: enough to fill a server, few enough that a crash loses little.
_TOGETHER = 512
_SEED_STRIDE = 1_000_003


@dataclass(frozen=True, slots=True)
class Hard:
    """The hard pairs, and counts for the manifest."""

    pairs: Pairs
    counts: Mapping[str, int]


def find_hard(
    engine: Engine, encoder: PromptEncoder, examples: Sequence[Example], recipe: RlJudge, order: Order, file: Path
) -> Hard:
    """Rate a sample of the questions that training could take, and pick the hard pairs.

    Args:
        engine: Answers as the start policy.
        encoder: Makes the ids.
        examples: The judgments to train on.
        recipe: Sets how many questions are rated, and which shares are hard.
        order: The order in which the policy answers.
        file: Stores each part's shares, so that a resumed training computes the missing ones only.
    """
    settings = recipe.hard_examples or HardExamplesRecipe()
    chosen = sampled_questions(examples, recipe.documents_per_query, settings.questions, recipe.seed)
    samples = settings.samples if order == "reason_first" else 1
    parts = together(chosen, lambda items: len(items) * samples, _TOGETHER)
    tokens = recipe.max_completion_tokens - len(encoder.label_lead)
    sampling = Sampling(tokens, 1.0, recipe.seed * _SEED_STRIDE)

    def shares(number: int, part: list[list[Example]]) -> list[float]:
        pairs = [item for items in part for item in items]
        before, _ = distributed.share(len(pairs))
        own = replace(sampling, seed=sampling.seed + number, before=before * samples, among=len(pairs) * samples)
        return distributed.dealt(pairs, lambda some: shares_right(engine, encoder, some, order, own, samples))

    by_part = [own for _, own in kept(Ledger(file), parts, shares, what="rate", total=len(parts))]
    rates = [share for own in by_part for share in own]
    rated = [item for items in chosen for item in items]
    hard = hard_pairs(rated, rates, settings)
    return Hard(hard, {"rated_questions": len(chosen), "rated_pairs": len(rated), "hard_pairs": len(hard)})


def sampled_questions(
    examples: Sequence[Example], documents: int, questions: int | None, seed: int
) -> list[list[Example]]:
    """A seeded sample, in input order, of the questions with at least `documents` documents and two grades."""
    eligible = [
        items
        for items in by_question(examples)
        if len(items) >= documents and len({item.judgment.relevance for item in items}) > 1
    ]
    if questions is None or questions >= len(eligible):
        return eligible
    return [eligible[place] for place in sorted(random.Random(seed).sample(range(len(eligible)), questions))]


def shares_right(
    engine: Engine, encoder: PromptEncoder, examples: Sequence[Example], order: Order, sampling: Sampling, samples: int
) -> list[float]:
    """The probability that the policy gives each pair its judged grade.

    It is read from the logits: at once in grade-first order, as the mean over `samples` sampled explanations in
    reason-first order.
    """
    prompts = [
        encoder.prompt(item.query, item.document, answer_tokens=sampling.max_new_tokens, order=order)
        for item in examples
    ]
    if order == "grade_first":
        probabilities = [judging.probabilities(item.logits) for item in grade(engine, encoder, prompts)]
        return [three[item.judgment.relevance] for three, item in zip(probabilities, examples, strict=True)]
    repeated = [prompt for prompt in prompts for _ in range(samples)]
    right = [judging.probabilities(item.labels.logits) for item in reason(engine, encoder, repeated, sampling)]
    return [
        sum(three[item.judgment.relevance] for three in right[place * samples : (place + 1) * samples]) / samples
        for place, item in enumerate(examples)
    ]


def hard_pairs(examples: Sequence[Example], shares: Sequence[float], recipe: HardExamplesRecipe) -> Pairs:
    """The pairs whose share of right grades lies between the recipe's `least` and `most`."""
    return frozenset(
        (item.query.query_id, item.document.doc_id)
        for item, share in zip(examples, shares, strict=True)
        if recipe.least <= share <= recipe.most
    )
