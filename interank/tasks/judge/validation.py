"""Trials of a student while it trains: it ranks and grades the validation questions as a reranker would."""

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
        """nDCG@10 against the teacher's grades; the grades' accuracy, mean absolute error and calibration error."""
        logits = [item.logits for item in grade(TransformersEngine(model), self.encoder, self.prompts)]
        pairs = list(zip(self.examples, logits, strict=True))
        qrels = [Qrel(i.query.query_id, i.document.doc_id, int(i.judgment.relevance)) for i in self.examples]
        scored = [ScoredDoc(i.query.query_id, i.document.doc_id, judging.score(found)) for i, found in pairs]
        run = Run.from_scores(scored, tag="validation")
        probabilities = [judging.probabilities(found) for found in logits]
        truths = [int(item.judgment.relevance) for item in self.examples]
        best = [int(judging.most_probable(found)) for found in logits]
        expected = [p[1] + 2 * p[2] for p in probabilities]
        return {
            DEFAULT_MEASURE: score_run(qrels, run).mean[DEFAULT_MEASURE],
            "grade_accuracy": fmean(found == truth for found, truth in zip(best, truths, strict=True)),
            "mean_absolute_error": fmean(abs(e - truth) for e, truth in zip(expected, truths, strict=True)),
            "calibration_error": calibration(
                [max(p) for p in probabilities], [found == truth for found, truth in zip(best, truths, strict=True)]
            ).expected_error,
        }


def validation_sample(examples: Sequence[Example], questions: int, seed: int) -> list[Example]:
    """Whole questions, so many at most, that have something to rank: documents of at least two grades."""
    rankable = [items for items in by_question(examples) if len({item.judgment.relevance for item in items}) > 1]
    chosen = sorted(random.Random(seed).sample(range(len(rankable)), min(questions, len(rankable))))
    return [item for place in chosen for item in rankable[place]]
