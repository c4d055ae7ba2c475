"""Scores every document, then spends what is left of a budget on those around the cut, which alone change places."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from interank.engines.judge import Verdict, reason
from interank.engines.protocol import Engine, Grading, LabelLogits, Sampling
from interank.errors import InputError
from interank.reranking.fitting import fused_ranking
from interank.reranking.purse import Purse
from interank.reranking.reranker import PART, Ranking, Reranker
from interank.settings import AdaptiveRecipe, ListwiseRecipe
from interank.tasks.documents import AnyDocument, as_documents, as_query, naming, ranked_document
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.ranker import ListCounts, ListRanker
from interank.types import Document, Query, RankedDocument


class Adaptive:
    """Ranks with one model, more carefully where it matters, within what a query may take."""

    def __init__(self, reranker: Reranker, settings: AdaptiveRecipe) -> None:
        """Take a reranker in mode `score`, whose model also explains.

        Raises:
            InputError: The reranker is in another mode, or was given a fit, whose order the model's grades do not
                share; a stored one is left out.
        """
        fitted = reranker.fit is not None and not reranker.fit_is_stored
        if reranker.mode != "score" or fitted:
            found = f"mode {reranker.mode}{' with a fit' if fitted else ''}"
            raise InputError(
                f"found {found}; adaptive begins with plain scores; open the model in mode score and without a fit"
            )
        self.engine: Engine = reranker.engine
        self.settings = settings
        self.counts = ListCounts()
        self._scorer = reranker.without_fit()
        self._reasoner = reranker.in_mode("reason").without_fit()
        self._lock = threading.RLock()

    @classmethod
    def open(cls, source: str | Path, settings: AdaptiveRecipe | None = None, **options: Any) -> Adaptive:
        """A model to rank with; `options` are those of `Reranker`, less `mode` and `lists`."""
        return cls(Reranker(source, mode="score", **options), settings or AdaptiveRecipe())

    def rank(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        top_k: int | None = None,
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> Ranking:
        """The documents best first; a place's score where some were taken up again and others not.

        What the budget has no room to score stays below, in the order given, without a grade. Where all documents
        were taken up, ranking and scores are those of mode `reason`.

        Args:
            query: What is asked.
            documents: The candidates, in first-stage order.
            top_k: How many to return; None returns all.
            explain: Must be 0 or None: an explanation afterwards has no part in the budget.
            first_stage: Not used.

        Raises:
            InputError: The query is empty, a document has no text, two have the same id, or explanations are asked for.
        """
        if explain:
            raise InputError(f"explain is {explain}; mode adaptive explains what it takes up again; leave it out")
        asked, given = as_query(query), as_documents(documents)
        with self._lock:
            return _Spent(self, asked, given).ranking()[:top_k]

    def again(self, query: Query, documents: Sequence[Document]) -> list[RankedDocument]:
        """The documents reasoned about, once or in several samples, in the order given."""
        if self.settings.spend != "samples":
            return list(self._reasoner.graded(query, documents))
        times, one = self.settings.samples, self._reasoner
        prompts = one.prompts(query, documents)
        sampling = Sampling(one.max_reasoning_tokens, self.settings.temperature, self.settings.seed)
        asked = [prompt for prompt in prompts for _ in range(times)]
        with naming(query, [document for document in documents for _ in range(times)]):
            verdicts = reason(self.engine, one.encoder, asked, sampling)
        drawn = [verdicts[begin : begin + times] for begin in range(0, len(verdicts), times)]
        return [
            ranked_document(document, prompt, averaged(some))
            for document, prompt, some in zip(documents, prompts, drawn, strict=True)
        ]

    def lister(self, count: int) -> ListRanker:
        """What orders one window of so many documents."""
        lists = self.settings.lists or ListwiseRecipe()
        lists = lists.model_copy(update={"method": "sliding", "window": max(2, count), "step": None})
        encoder = ListEncoder(self._scorer.encoder, lists.prompt or self._scorer.list_prompts)
        return ListRanker(self.engine, encoder, lists, max_reasoning_tokens=self._scorer.max_reasoning_tokens)

    def score_bounds(self, query: Query, documents: Sequence[Document]) -> tuple[int, list[int]]:
        """The tokens that scoring takes once, and for each document at most."""
        prompts = self._scorer.prompts(query, documents)
        lead = len(self._scorer.encoder.label_lead)
        # In this process the query is read once; how far vLLM spares it is not known beforehand.
        shared = len(prompts[0].prefix) if prompts and isinstance(self.engine, Grading) else 0
        return shared, [len(prompt.ids) - shared + lead for prompt in prompts]

    def reason_bounds(self, query: Query, documents: Sequence[Document]) -> list[int]:
        """The tokens that reasoning about each document takes at most: what is read, written, and read to grade it."""
        one = self._reasoner
        written = one.max_reasoning_tokens
        forced = written + len(one.encoder.gap) + len(one.encoder.label_lead)
        times = self.settings.samples if self.settings.spend == "samples" else 1
        readings = 1 if isinstance(self.engine, Grading) and not self.engine.rereads else 2
        return [times * (readings * len(p.ids) + written + forced) for p in one.prompts(query, documents)]

    def graded(self, query: Query, documents: Sequence[Document]) -> list[RankedDocument]:
        """The documents scored, in the order given."""
        return list(self._scorer.graded(query, documents))


class _Spent:
    """One query's way through its budget."""

    def __init__(self, adaptive: Adaptive, query: Query, documents: list[Document]) -> None:
        self._adaptive = adaptive
        self._query = query
        self._documents = documents
        self._purse = Purse(adaptive.engine, adaptive.settings.tokens, adaptive.settings.seconds)

    def ranking(self) -> Ranking:
        adaptive, every = self._adaptive, list(range(len(self._documents)))
        shared, bounds = adaptive.score_bounds(self._query, self._documents)
        scored = self._taken("score", every, bounds, adaptive.graded, shared)
        rest = [RankedDocument(self._documents[place].doc_id, 0.0) for place in every if place not in scored]
        ranking = fused_ranking(self._query.query_id, *_columns(scored))
        if rest:
            return _by_places([*ranking, *rest])
        place_of = {document.doc_id: place for place, document in enumerate(self._documents)}
        order = [place_of[item.doc_id] for item in ranking]
        band = nearest_to_cut([item.score for item in ranking], adaptive.settings)
        if adaptive.settings.spend == "listwise":
            return self._listed(ranking, order, band)
        if adaptive.settings.spend == "none":
            return ranking
        wanted = [order[rank] for rank in band]
        bounds = adaptive.reason_bounds(self._query, [self._documents[place] for place in wanted])
        again = self._taken("write", wanted, bounds, adaptive.again)
        if len(again) == len(order):
            return fused_ranking(self._query.query_id, *_columns(again))
        return _permuted(ranking, fused_ranking(self._query.query_id, *_columns(again)))

    def _taken(
        self,
        kind: str,
        places: Sequence[int],
        bounds: Sequence[int],
        judged: Callable[[Query, Sequence[Document]], list[RankedDocument]],
        shared: int = 0,
    ) -> dict[int, RankedDocument]:
        """As many of the documents as the purse admits, first ones first; those together in the order given."""
        done: dict[int, RankedDocument] = {}
        while count := min(PART, self._purse.admits(kind, bounds[len(done) :], shared)):
            part = sorted(places[len(done) : len(done) + count])

            def work(part: list[int] = part) -> None:
                found = judged(self._query, [self._documents[place] for place in part])
                done.update(zip(part, found, strict=True))

            self._purse.take(kind, bounds[len(done) : len(done) + count], work)
        return done

    def _listed(self, ranking: Ranking, order: Sequence[int], band: Sequence[int]) -> Ranking:
        """The band in the order of one window, as wide as the purse admits."""
        for count in range(len(band), 1, -1):
            ranks = sorted(band[:count])
            window = [self._documents[order[rank]] for rank in ranks]
            lister = self._adaptive.lister(count)
            room = lister.max_reasoning_tokens
            prompt = lister.encoder.prompt(self._query, window, reasoning_tokens=room).prompt
            bound = lister.settings.shuffles * (len(prompt.ids) + lister.encoder.answer_tokens(count, room))
            if self._purse.admits("list", [bound]):
                found = lister.order(self._query, window)
                self._adaptive.counts += found.counts
                return _permuted(ranking, [ranking[ranks[place]] for place in found.order])
        return ranking


def nearest_to_cut(scores: Sequence[float], settings: AdaptiveRecipe) -> list[int]:
    """The ranks of the band, of falling scores: those nearest to the cut first, by score, then the better ones."""
    if not scores:
        return []
    last = min(settings.cut, len(scores)) - 1
    middle = (scores[last] + scores[last + 1]) / 2 if last + 1 < len(scores) else scores[last]
    ranks = sorted(range(len(scores)), key=lambda rank: (abs(scores[rank] - middle), rank))
    near = ranks if settings.width is None else [r for r in ranks if abs(scores[r] - middle) <= settings.width]
    return near[: settings.band]


def averaged(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict with the mean of the grades' probabilities, taken as logarithms so that none saturates."""
    logs = [[logit - _log_sum(v.labels.logits) for logit in v.labels.logits] for v in verdicts]
    first, second, third = (_log_sum(column) - math.log(len(verdicts)) for column in zip(*logs, strict=True))
    mass = sum(verdict.labels.mass for verdict in verdicts) / len(verdicts)
    return replace(verdicts[0], labels=LabelLogits((first, second, third), mass))


def _log_sum(values: Sequence[float]) -> float:
    ceiling = max(values)
    return ceiling + math.log(sum(math.exp(value - ceiling) for value in values))


def _columns(found: dict[int, RankedDocument]) -> tuple[list[RankedDocument], list[float]]:
    """In first-stage order, which ties keep."""
    items = [found[place] for place in sorted(found)]
    return items, [item.score for item in items]


def _permuted(ranking: Ranking, again: Sequence[RankedDocument]) -> Ranking:
    """The ranking with the documents of `again`, in that order, on the places that they have together."""
    if not again:
        return ranking
    changed = {item.doc_id for item in again}
    following = iter(again)
    return _by_places([next(following) if item.doc_id in changed else item for item in ranking])


def _by_places(ranking: Ranking) -> Ranking:
    """Scores of different passes do not compare; places do: the first of n documents scores n, the last 1."""
    return [replace(item, score=float(len(ranking) - rank)) for rank, item in enumerate(ranking)]
