"""Trials of a model during training: it ranks, grades and explains validation pairs as a reranker would."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean
from typing import Any

from interank import distributed, judging
from interank.engines.judge import Verdict, grade, reason
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Sampling
from interank.engines.soundness import require_completions
from interank.engines.transformers import TransformersEngine
from interank.ir.calibration import calibration
from interank.ir.measures import DEFAULT_MEASURE, score_run
from interank.judging import Order
from interank.tasks.judge.asking import LABEL_ROOM
from interank.tasks.judge.rows import columns
from interank.training.halves import counted, places
from interank.training.trials import Probabilities
from interank.types import Example, Qrel, Run, ScoredDoc


class GradeTrial:
    """A student's trial, by the grades that it gives at once."""

    def __init__(self, encoder: PromptEncoder, examples: Sequence[Example]) -> None:
        self.encoder = encoder
        self.examples = list(examples)
        self.prompts = [
            encoder.prompt(item.query, item.document, answer_tokens=LABEL_ROOM, order="grade_first")
            for item in self.examples
        ]

    def __call__(self, model: Any) -> Mapping[str, float]:
        """nDCG@10 against the teacher's grades; the grades' accuracy, mean absolute error and calibration error."""
        engine = TransformersEngine(model)
        labels = distributed.dealt(self.prompts, lambda prompts: grade(engine, self.encoder, prompts))
        return _figures(self.examples, [item.logits for item in labels])


class AnswerTrial:
    """A policy's trial, by its grades and whole answers; later trials are compared with the first."""

    def __init__(
        self,
        encoder: PromptEncoder,
        examples: Sequence[Example],
        *,
        order: Order,
        tokens: int,
        explained: int,
        start: Sequence[Probabilities] = (),
        reporting: Collection[str] = (),
    ) -> None:
        """Prepare the prompts.

        Args:
            encoder: Makes the ids.
            examples: Whole questions.
            order: How grades are read: at once, or after reasoning.
            tokens: The token budget of an answer.
            explained: How many answers are written whole, greedily, to show them and measure their form.
            start: The start policy's probabilities, where this training is resumed.
            reporting: The ids of the questions that are only reported and do not choose the adapter.
        """
        self.encoder, self.examples, self.order = encoder, list(examples), order
        self.tokens, self.explained = tokens, explained
        self.start = list(start)
        self.answers: Sequence[Mapping[str, Any]] = ()
        query_ids = [item.query.query_id for item in self.examples]
        self.questions: Mapping[str, int] = counted(query_ids, reporting)
        self._halves = places(query_ids, reporting)
        self.prompts = [
            encoder.prompt(item.query, item.document, answer_tokens=tokens, order=order) for item in self.examples
        ]

    def __call__(self, model: Any) -> dict[str, float]:
        """nDCG@10 against the judgments, the grades' fit, how far they moved, and the form of whole answers.

        The figures of questions that are only reported are named `reported/...`; the form is measured on all.
        """
        engine = TransformersEngine(model)
        sampling = Sampling(self.tokens - len(self.encoder.label_lead))
        if self.order == "grade_first":
            read = distributed.dealt(self.prompts, lambda prompts: grade(engine, self.encoder, prompts))
            logits = [labels.logits for labels in read]
            begun = [self.prompts[place].then(self.encoder.label_lead) for place in self._spread()]
            written = distributed.dealt(begun, lambda prompts: engine.generate(prompts, sampling, end=self.encoder.end))
            require_completions(written)
            shown = texts = [judging.LABEL_LEAD + self.encoder.text(item.ids) for item in written]
        else:
            verdicts = distributed.dealt(self.prompts, lambda own: reason(engine, self.encoder, own, sampling))
            logits = [verdict.labels.logits for verdict in verdicts]
            texts = [_whole(verdict) for verdict in verdicts]
            shown = [texts[place] for place in self._spread()]
        probabilities = [judging.probabilities(three) for three in logits]
        self.start = self.start or probabilities
        self.answers = [
            {**columns(self.examples[place], self.order), "completion": text}
            for place, text in zip(self._spread(), shown, strict=True)
        ]
        figures = {
            f"{prefix}{name}": value
            for prefix, own in self._halves.items()
            for name, value in {
                **_figures([self.examples[place] for place in own], [logits[place] for place in own]),
                **self._moved(own, probabilities),
            }.items()
        }
        return {**figures, **_form(texts)}

    def _spread(self) -> list[int]:
        """The places of `explained` prompts, evenly spread."""
        number = min(self.explained, len(self.prompts))
        return [place * len(self.prompts) // number for place in range(number)]

    def _moved(self, places: Sequence[int], probabilities: Sequence[Probabilities]) -> dict[str, float]:
        """The mean entropy of the grades, and their mean KL divergence from those of the start."""
        now = [probabilities[place] for place in places]
        pairs = [(probabilities[place], self.start[place]) for place in places]
        return {
            "grade_entropy": fmean(-sum(p * math.log(max(p, 1e-12)) for p in three) for three in now),
            "grade_kl": fmean(
                sum(p * math.log(max(p, 1e-12) / max(q, 1e-12)) for p, q in zip(three, before, strict=True))
                for three, before in pairs
            ),
        }


def _figures(examples: Sequence[Example], logits: Sequence[Sequence[float]]) -> dict[str, float]:
    """The quality of the ranking by the grades' logits, and the agreement of the grades with the judged ones."""
    qrels = [Qrel(i.query.query_id, i.document.doc_id, int(i.judgment.relevance)) for i in examples]
    scored = [
        ScoredDoc(item.query.query_id, item.document.doc_id, judging.score(three))
        for item, three in zip(examples, logits, strict=True)
    ]
    probabilities = [judging.probabilities(three) for three in logits]
    truths = [int(item.judgment.relevance) for item in examples]
    right = [judging.most_probable(three) == truth for three, truth in zip(logits, truths, strict=True)]
    return {
        DEFAULT_MEASURE: score_run(qrels, Run.from_scores(scored, tag="trial")).mean[DEFAULT_MEASURE],
        "grade_accuracy": fmean(right),
        "mean_absolute_error": fmean(abs(p[1] + 2 * p[2] - t) for p, t in zip(probabilities, truths, strict=True)),
        "calibration_error": calibration([max(three) for three in probabilities], right).expected_error,
    }


def _whole(verdict: Verdict) -> str:
    """The answer's text; empty where it never reached its label."""
    return judging.answer(verdict.judgment, "reason_first") if verdict.finished else ""


def _form(texts: Sequence[str]) -> dict[str, float]:
    """The share of answers that can be read, and the mean length of their explanations."""
    if not texts:
        return {}
    read = [judging.parse(text) for text in texts]
    return {
        "format_rate": fmean(judgment is not None for judgment in read),
        "explanation_words": fmean(len(judgment.reasoning.split()) if judgment else 0 for judgment in read),
    }
