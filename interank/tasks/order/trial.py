"""Trials of a policy during training: it orders validation lists greedily, as a reranker would."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from interank import distributed
from interank.engines.protocol import Sampling
from interank.engines.soundness import require_completions
from interank.engines.transformers import TransformersEngine
from interank.ir.measures import DEFAULT_MEASURE
from interank.tasks.judged_lists import order_values
from interank.tasks.list_trials import JudgedListsTrial
from interank.tasks.order import ordering
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.values import is_whole


class ListTrial(JudgedListsTrial[ListEncoder]):
    """A policy's trial on the same judged lists each time."""

    def __call__(self, model: Any) -> dict[str, float]:
        """nDCG@10 by the judgments, and the answers' form; a list without a readable answer keeps its order.

        `format_rate` is the share of answers that can be read, `whole_rate` of those that name each document once.
        """
        engine, sampling = TransformersEngine(model), Sampling(self.tokens)
        written = distributed.dealt(self.prompts, lambda own: engine.generate(own, sampling, end=self.encoder.end))
        require_completions(written)
        texts = [self.encoder.encoder.text(item.ids) for item in written]
        self.keep_answers(texts)
        read = [ordering.parse(text, len(item.documents)) for text, item in zip(texts, self.lists, strict=True)]
        orders = [
            answer.positions if answer else tuple(range(len(item.documents)))
            for answer, item in zip(read, self.lists, strict=True)
        ]
        values = order_values(orders, [item.grades for item in self.lists], DEFAULT_MEASURE)
        return {
            **self.by_half(DEFAULT_MEASURE, values),
            "format_rate": fmean(answer is not None for answer in read),
            "whole_rate": fmean(answer is not None and is_whole(answer) for answer in read),
            "explanation_words": fmean(len(answer.reasoning.split()) if answer else 0 for answer in read),
        }
