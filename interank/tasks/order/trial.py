"""Trials of a policy that orders lists while it trains: it orders validation lists greedily, as a reranker would."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from interank import launched
from interank.engines.protocol import Sampling
from interank.engines.soundness import require_completions
from interank.engines.transformers import TransformersEngine
from interank.ir.measures import DEFAULT_MEASURE
from interank.judgments import JudgedList
from interank.tasks.order import ordering
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.rollouts import columns, list_prompts
from interank.tasks.order.values import is_whole, order_values
from interank.training.halves import counted, places
from interank.training.trying import Probabilities


class ListTrial:
    """Tries a model on the same judged lists each time."""

    def __init__(
        self,
        encoder: ListEncoder,
        lists: Sequence[JudgedList],
        *,
        tokens: int,
        shown: int = 0,
        reporting: Collection[str] = (),
    ) -> None:
        """Prepare the prompts; `tokens` is an answer's budget, by the questions of `reporting` nothing is chosen.

        The answers to the first `shown` lists are told.
        """
        asked = [item.query.query_id for item in lists]
        self.questions: Mapping[str, int] = counted(asked, reporting)
        self._halves = places(asked, reporting)
        self.encoder = encoder.encoder
        self.lists = list(lists)
        self.tokens = tokens
        self.prompts = list_prompts(encoder, self.lists, tokens)
        # Grades have probabilities at the start to be compared with, orders have none.
        self.start: list[Probabilities] = []
        self.answers: Sequence[Mapping[str, Any]] = ()
        self._shown = shown

    def __call__(self, model: Any) -> dict[str, float]:
        """nDCG@10 by the judgments, and the answers' form; a list without a readable answer keeps its order.

        `format_rate` is the share of answers that can be read, `whole_rate` of those that name each document once.
        """
        engine, sampling = TransformersEngine(model), Sampling(self.tokens)
        written = launched.dealt(self.prompts, lambda own: engine.generate(own, sampling, end=self.encoder.end))
        require_completions(written)
        texts = [self.encoder.text(item.ids) for item in written]
        told = zip(self.lists[: self._shown], texts, strict=False)
        self.answers = [{**columns(item), "completion": text} for item, text in told]
        read = [ordering.parse(text, len(item.documents)) for text, item in zip(texts, self.lists, strict=True)]
        orders = [
            found.positions if found else tuple(range(len(item.documents)))
            for found, item in zip(read, self.lists, strict=True)
        ]
        values = order_values(orders, [item.grades for item in self.lists], DEFAULT_MEASURE)
        return {
            **{
                f"{prefix}{DEFAULT_MEASURE}": fmean(values[place] for place in own)
                for prefix, own in self._halves.items()
            },
            "format_rate": fmean(found is not None for found in read),
            "whole_rate": fmean(found is not None and is_whole(found) for found in read),
            "explanation_words": fmean(len(found.reasoning.split()) if found else 0 for found in read),
        }


def validation_lists(lists: Iterable[JudgedList], questions: int, seed: int) -> list[JudgedList]:
    """So many of the lists at most, a seeded sample."""
    found = list(lists)
    chosen = sorted(random.Random(seed).sample(range(len(found)), min(questions, len(found))))
    return [found[place] for place in chosen]
