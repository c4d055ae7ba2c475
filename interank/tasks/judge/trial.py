"""Trials of a policy while it trains: it ranks, grades and explains validation pairs as a reranker would."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean
from typing import Any

from interank import judging
from interank.engines.judge import Verdict, grade, reason
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Sampling
from interank.engines.soundness import require_completions
from interank.engines.transformers import TransformersEngine
from interank.judging import Order
from interank.tasks.judge.validation import figures
from interank.training.halves import counted, places
from interank.training.trying import Probabilities
from interank.types import Example


class Trial:
    """Tries a model on the same judged pairs each time; the first trial is what later ones are compared with."""

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
            tokens: An answer's budget.
            explained: How many answers are written whole, greedily, to see their form.
            start: The probabilities of the policy at the start, where this training is resumed.
            reporting: The ids of the questions by which nothing is chosen.
        """
        self.encoder, self.examples, self.order = encoder, list(examples), order
        self.tokens, self.explained = tokens, explained
        self.start = list(start)
        asked = [item.query.query_id for item in self.examples]
        self.questions: Mapping[str, int] = counted(asked, reporting)
        self._halves = places(asked, reporting)
        self.prompts = [
            encoder.prompt(item.query, item.document, answer_tokens=tokens, order=order) for item in self.examples
        ]

    def __call__(self, model: Any) -> dict[str, float]:
        """nDCG@10 against the judgments, the grades' fit, how far they moved, and the form of whole answers.

        The figures of the questions that report are named `reported/...`; the form is that of all.
        """
        engine = TransformersEngine(model)
        sampling = Sampling(self.tokens - len(self.encoder.label_lead))
        if self.order == "grade_first":
            logits = [found.logits for found in grade(engine, self.encoder, self.prompts)]
            shown = self._spread()
            begun = [prompt.then(self.encoder.label_lead) for prompt in shown]
            written = engine.generate(begun, sampling, end=self.encoder.end)
            require_completions(written)
            texts = [judging.LABEL_LEAD + self.encoder.text(item.ids) for item in written]
        else:
            verdicts = reason(engine, self.encoder, self.prompts, sampling)
            logits = [found.labels.logits for found in verdicts]
            texts = [_whole(found) for found in verdicts]
        probabilities = [judging.probabilities(found) for found in logits]
        self.start = self.start or probabilities
        found = {
            f"{prefix}{name}": value
            for prefix, own in self._halves.items()
            for name, value in self._figures(own, logits, probabilities).items()
        }
        return {**found, **_form(texts)}

    def _spread(self) -> list[Prompt]:
        """So many prompts, spread evenly."""
        number = min(self.explained, len(self.prompts))
        return [self.prompts[place * len(self.prompts) // number] for place in range(number)]

    def _figures(
        self, places: Sequence[int], logits: Sequence[Sequence[float]], every: Sequence[Probabilities]
    ) -> dict[str, float]:
        pairs = [(every[place], self.start[place]) for place in places]
        return {
            **figures([self.examples[place] for place in places], [logits[place] for place in places]),
            "grade_entropy": fmean(-sum(p * math.log(max(p, 1e-12)) for p in three) for three, _ in pairs),
            "grade_kl": fmean(
                sum(p * math.log(max(p, 1e-12) / max(q, 1e-12)) for p, q in zip(now, before, strict=True))
                for now, before in pairs
            ),
        }


def _whole(verdict: Verdict) -> str:
    """The answer as it would be read; one that never came to its label is none."""
    return judging.answer(verdict.judgment, "reason_first") if verdict.finished else ""


def _form(texts: Sequence[str]) -> dict[str, float]:
    """How many answers can be read, and how long their explanations are."""
    if not texts:
        return {}
    read = [judging.parse(text) for text in texts]
    return {
        "format_rate": fmean(found is not None for found in read),
        "explanation_words": fmean(len(found.reasoning.split()) if found else 0 for found in read),
    }
