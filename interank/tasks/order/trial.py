"""Trials of a policy that orders lists while it trains: it orders validation lists greedily, as a reranker would."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from interank import distributed
from interank.engines.protocol import Sampling
from interank.engines.soundness import require_completions
from interank.engines.transformers import TransformersEngine
from interank.ir.measures import DEFAULT_MEASURE
from interank.tasks.judged_lists import order_values
from interank.tasks.list_trials import ListsTried
from interank.tasks.order import ordering
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.values import is_whole


class ListTrial(ListsTried[ListEncoder]):
    """Tries a model on the same judged lists each time."""

    def __call__(self, model: Any) -> dict[str, float]:
        """nDCG@10 by the judgments, and the answers' form; a list without a readable answer keeps its order.

        `format_rate` is the share of answers that can be read, `whole_rate` of those that name each document once.
        """
        engine, sampling = TransformersEngine(model), Sampling(self.tokens)
        written = distributed.dealt(self.prompts, lambda own: engine.generate(own, sampling, end=self.encoder.end))
        require_completions(written)
        texts = [self.encoder.encoder.text(item.ids) for item in written]
        self.tell(texts)
        read = [ordering.parse(text, len(item.documents)) for text, item in zip(texts, self.lists, strict=True)]
        orders = [
            found.positions if found else tuple(range(len(item.documents)))
            for found, item in zip(read, self.lists, strict=True)
        ]
        values = order_values(orders, [item.grades for item in self.lists], DEFAULT_MEASURE)
        return {
            **self.by_half(DEFAULT_MEASURE, values),
            "format_rate": fmean(found is not None for found in read),
            "whole_rate": fmean(found is not None and is_whole(found) for found in read),
            "explanation_words": fmean(len(found.reasoning.split()) if found else 0 for found in read),
        }
