"""Trials of a student while it trains: which questions it ranks and grades as a reranker would, and how well."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from interank import judging
from interank.engines.judge import grade
from interank.engines.prompts import PromptEncoder
from interank.engines.transformers import TransformersEngine
from interank.ir.calibration import calibration
from interank.ir.measures import DEFAULT_MEASURE, score_run
from interank.judgments import by_question
from interank.types import Example, Qrel, Run, ScoredDoc

# The grade at once, read as rankings are: label line, gap, end-of-turn.
_LABEL_ROOM = 16


class Validation:
    """Tries a model on the same judged pairs each time."""

    def __init__(self, encoder: PromptEncoder, examples: Sequence[Example]) -> None:
        self.encoder = encoder
        self.examples = list(examples)
        self.prompts = [
            encoder.prompt(item.query, item.document, answer_tokens=_LABEL_ROOM, order="grade_first")
            for item in self.examples
        ]

    def __call__(self, model: Any) -> Mapping[str, float]:
        """See `figures`."""
        logits = [item.logits for item in grade(TransformersEngine(model), self.encoder, self.prompts)]
        return figures(self.examples, logits)


def figures(examples: Sequence[Example], logits: Sequence[Sequence[float]]) -> dict[str, float]:
    """nDCG@10 against the judgments; the grades' accuracy, mean absolute error and calibration error.

    Args:
        examples: Whole questions.
        logits: Of the three grades, for each example.
    """
    truths = [int(item.judgment.relevance) for item in examples]
    named = [(item.query.query_id, item.document.doc_id) for item in examples]
    qrels = [Qrel(*names, truth) for names, truth in zip(named, truths, strict=True)]
    scored = [ScoredDoc(*names, judging.score(found)) for names, found in zip(named, logits, strict=True)]
    probabilities = [judging.probabilities(found) for found in logits]
    right = [judging.most_probable(found) == truth for found, truth in zip(logits, truths, strict=True)]
    return {
        DEFAULT_MEASURE: score_run(qrels, Run.from_scores(scored, tag="validation")).mean[DEFAULT_MEASURE],
        "grade_accuracy": fmean(right),
        "mean_absolute_error": fmean(abs(p[1] + 2 * p[2] - t) for p, t in zip(probabilities, truths, strict=True)),
        "calibration_error": calibration([max(p) for p in probabilities], right).expected_error,
    }


def validation_sample(examples: Sequence[Example], questions: int, seed: int) -> list[Example]:
    """Whole questions, so many at most, that have something to rank: documents of at least two grades."""
    rankable = [items for items in by_question(examples) if len({item.judgment.relevance for item in items}) > 1]
    chosen = sorted(random.Random(seed).sample(range(len(rankable)), min(questions, len(rankable))))
    return [item for place in chosen for item in rankable[place]]
