"""How often the start policy grades each pair rightly, and which pairs are worth training on."""

from __future__ import annotations

from collections.abc import Sequence

from interank import judging
from interank.engines.judge import grade, reason
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Engine, Sampling
from interank.judging import Order
from interank.recipe import HardExamplesRecipe
from interank.types import Example

Pairs = frozenset[tuple[str, str]]
"""Query and document ids."""


def shares_right(
    engine: Engine, encoder: PromptEncoder, examples: Sequence[Example], order: Order, sampling: Sampling, samples: int
) -> list[float]:
    """How likely the policy is to give each pair its judged grade.

    In grade-first order that is read from the logits; in reason-first order it is the share of sampled answers that
    end in it.
    """
    prompts = [
        encoder.prompt(item.query, item.document, answer_tokens=sampling.max_new_tokens, order=order)
        for item in examples
    ]
    if order == "grade_first":
        found = [judging.probabilities(item.logits) for item in grade(engine, encoder, prompts)]
        return [three[item.judgment.relevance] for three, item in zip(found, examples, strict=True)]
    repeated = [prompt for prompt in prompts for _ in range(samples)]
    right = [judging.probabilities(item.labels.logits) for item in reason(engine, encoder, repeated, sampling)]
    return [
        sum(three[item.judgment.relevance] for three in right[place * samples : (place + 1) * samples]) / samples
        for place, item in enumerate(examples)
    ]


def hard_pairs(examples: Sequence[Example], shares: Sequence[float], recipe: HardExamplesRecipe) -> Pairs:
    """The pairs that are neither always right nor always wrong."""
    return frozenset(
        (item.query.query_id, item.document.doc_id)
        for item, share in zip(examples, shares, strict=True)
        if recipe.least <= share <= recipe.most
    )
