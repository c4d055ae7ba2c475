"""Scores every document, then spends the rest of a budget on reordering the documents around the cut."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from interank.engines.judge import Verdict, reason
from interank.engines.protocol import Engine, Grading, LabelLogits, Sampling
from interank.errors import InputError
from interank.modes import Guard
from interank.reranking.compute_budget import ComputeBudget
from interank.settings import AdaptiveRecipe, ListPromptSettings, ListwiseRecipe
from interank.tasks.documents import by_scores, naming
from interank.tasks.judge.ranker import GradeRanker, ranked_document
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.ranker import Windows
from interank.tasks.ranks import PART, ListCounts, OneModel, Ranking
from interank.types import Document, Query, RankedDocument


class Adaptive(OneModel):
    """Ranks with one model within a budget per query: scores for all documents, reasoning or lists around the cut."""

    engine: Engine
    kind = "mode adaptive"

    def __init__(
        self, graded: OneModel, settings: AdaptiveRecipe, list_prompts: ListPromptSettings | None = None
    ) -> None:
        """Wrap a model that grades in mode `score`.

        Args:
            graded: The grading model.
            settings: The budget, and the work to spend it on.
            list_prompts: The windows' prompts, if `settings` have none.

        Raises:
            InputError: `graded` is of another kind, in another mode, or guarded.
        """
        if not isinstance(graded, GradeRanker):
            raise InputError(
                f"found {type(graded).__name__}, and adaptive needs a model that grades documents; write "
                'Reranker(SOURCE, mode="adaptive", adaptive={...})'
            )
        if graded.judge.mode != "score" or graded.guard != "none":
            raise InputError(
                f"found mode {graded.judge.mode} with guard {graded.guard}, and adaptive needs mode score without a "
                "guard; open the model so"
            )
        self.engine = graded.judge.engine
        self.settings = settings
        self._counts = ListCounts()
        self._scorer = graded
        self._reasoner = graded.in_mode("reason")
        self._list_prompts = list_prompts or ListPromptSettings()
        self._lock = threading.RLock()

    @property
    def follows(self) -> bool:
        """See `OneModel`."""
        return self._scorer.follows

    @property
    def counts(self) -> ListCounts:
        """See `Ranks`."""
        return self._counts

    def query_cut(self, query: Query) -> int:
        """See `OneModel`."""
        return self._scorer.query_cut(query)

    def guarded(self, guard: Guard) -> OneModel:
        """See `Ranks`.

        Raises:
            InputError: The guard is not `none`.
        """
        if guard == "none":
            return self
        raise InputError(f"guard {guard} changes scores, and mode adaptive needs them unchanged; leave one of them out")

    def explains(self, count: int | None) -> int:
        """Always 0: the budget has no part for explanations after the ranking.

        Raises:
            InputError: An explanation is requested.
        """
        if count:
            raise InputError(
                f"explain is {count}, but mode adaptive explains only the documents that it reasons about; leave "
                "explain out"
            )
        return 0

    def ordered(self, query: Query, documents: Sequence[Document], first_stage: Sequence[float] | None) -> Ranking:
        """The documents, best first; scores are positions where only some documents were reordered.

        Documents that the budget leaves unscored come last, in first-stage order, without a grade. If all documents
        were reasoned about, ranking and scores are those of mode `reason`.
        """
        with self._lock:
            return _BudgetedQuery(self, query, documents).ranking()

    def reasoned(self, query: Query, documents: Sequence[Document]) -> list[RankedDocument]:
        """The documents in the order given, graded after reasoning, by one sample or the mean of several."""
        if self.settings.spend != "samples":
            return list(self._reasoner.graded(query, documents))
        times, one = self.settings.samples, self._reasoner.judge
        prompts = one.prompts(query, documents)
        sampling = Sampling(one.max_reasoning_tokens, self.settings.temperature, self.settings.seed)
        repeated = [prompt for prompt in prompts for _ in range(times)]
        with naming(query, [document for document in documents for _ in range(times)]):
            verdicts = reason(self.engine, one.encoder, repeated, sampling)
        samples = [verdicts[begin : begin + times] for begin in range(0, len(verdicts), times)]
        return [
            ranked_document(document, prompt, averaged(own))
            for document, prompt, own in zip(documents, prompts, samples, strict=True)
        ]

    def count_answers(self, counts: ListCounts) -> None:
        """Add the counts of a window's answers."""
        self._counts += counts

    def window_ranker(self, count: int) -> Windows:
        """A listwise reranker with one window of `count` documents."""
        lists = self.settings.lists or ListwiseRecipe()
        lists = lists.model_copy(update={"method": "sliding", "window": max(2, count), "step": None})
        judge = self._scorer.judge
        encoder = ListEncoder(judge.encoder, lists.prompt or self._list_prompts)
        return Windows(self.engine, encoder, lists, max_reasoning_tokens=judge.max_reasoning_tokens)

    def score_bounds(self, query: Query, documents: Sequence[Document]) -> tuple[int, list[int]]:
        """Upper bounds of the tokens that scoring takes: once for the query, and for each document."""
        prompts = self._scorer.judge.prompts(query, documents)
        lead = len(self._scorer.judge.encoder.label_lead)
        # An engine in this process reads the query once; vLLM's prefix cache hits are unknown beforehand.
        shared = len(prompts[0].prefix) if prompts and isinstance(self.engine, Grading) else 0
        return shared, [len(prompt.ids) - shared + lead for prompt in prompts]

    def reason_bounds(self, query: Query, documents: Sequence[Document]) -> list[int]:
        """Upper bounds of the tokens for reasoning about each document: prompt, reasoning, and grading after it."""
        one = self._reasoner.judge
        written = one.max_reasoning_tokens
        forced = written + len(one.encoder.gap) + len(one.encoder.label_lead)
        times = self.settings.samples if self.settings.spend == "samples" else 1
        readings = 1 if isinstance(self.engine, Grading) and not self.engine.rereads else 2
        return [times * (readings * len(p.ids) + written + forced) for p in one.prompts(query, documents)]

    def scored(self, query: Query, documents: Sequence[Document]) -> list[RankedDocument]:
        """The documents in the order given, with their scores."""
        return list(self._scorer.graded(query, documents))


class _BudgetedQuery:
    """The ranking of one query within its budget."""

    def __init__(self, adaptive: Adaptive, query: Query, documents: Sequence[Document]) -> None:
        self._adaptive = adaptive
        self._query = query
        self._documents = documents
        self._budget = ComputeBudget(adaptive.engine, adaptive.settings.tokens, adaptive.settings.seconds)

    def ranking(self) -> Ranking:
        adaptive, every = self._adaptive, list(range(len(self._documents)))
        shared, bounds = adaptive.score_bounds(self._query, self._documents)
        scored = self._judged("score", every, bounds, adaptive.scored, shared)
        rest = [RankedDocument(self._documents[place].doc_id, 0.0) for place in every if place not in scored]
        ranking = by_scores(self._query.query_id, *_columns(scored))
        if rest:
            return _by_places([*ranking, *rest])
        place_of = {document.doc_id: place for place, document in enumerate(self._documents)}
        order = [place_of[item.doc_id] for item in ranking]
        band = nearest_to_cut([item.score for item in ranking], adaptive.settings)
        if adaptive.settings.spend == "listwise":
            return self._window_ordered(ranking, order, band)
        if adaptive.settings.spend == "none":
            return ranking
        wanted = [order[rank] for rank in band]
        bounds = adaptive.reason_bounds(self._query, [self._documents[place] for place in wanted])
        reasoned = self._judged("write", wanted, bounds, adaptive.reasoned)
        if len(reasoned) == len(order):
            return by_scores(self._query.query_id, *_columns(reasoned))
        return _permuted(ranking, by_scores(self._query.query_id, *_columns(reasoned)))

    def _judged(
        self,
        kind: str,
        places: Sequence[int],
        bounds: Sequence[int],
        judge: Callable[[Query, Sequence[Document]], list[RankedDocument]],
        shared: int = 0,
    ) -> dict[int, RankedDocument]:
        """Judge as many documents as the budget admits, from the first of `places` on; by place in first-stage order.

        Each call of `judge` gets its documents in first-stage order.
        """
        done: dict[int, RankedDocument] = {}
        while count := min(PART, self._budget.admits(kind, bounds[len(done) :], shared)):
            part = sorted(places[len(done) : len(done) + count])

            def work(part: list[int] = part) -> None:
                items = judge(self._query, [self._documents[place] for place in part])
                done.update(zip(part, items, strict=True))

            self._budget.take(kind, bounds[len(done) : len(done) + count], work)
        return done

    def _window_ordered(self, ranking: Ranking, order: Sequence[int], band: Sequence[int]) -> Ranking:
        """The ranking with the band reordered by one listwise window, as wide as the budget admits."""
        for count in range(len(band), 1, -1):
            ranks = sorted(band[:count])
            window = [self._documents[order[rank]] for rank in ranks]
            ranker = self._adaptive.window_ranker(count)
            room = ranker.max_reasoning_tokens
            prompt = ranker.encoder.prompt(self._query, window, reasoning_tokens=room).prompt
            bound = ranker.settings.shuffles * (len(prompt.ids) + ranker.encoder.answer_tokens(count, room))
            if self._budget.admits("list", [bound]):
                ordered = ranker.order(self._query, window)
                self._adaptive.count_answers(ordered.counts)
                return _permuted(ranking, [ranking[ranks[place]] for place in ordered.order])
        return ranking


def nearest_to_cut(scores: Sequence[float], settings: AdaptiveRecipe) -> list[int]:
    """The ranks in the band around the cut, nearest in score first; of equally near ones the better rank first.

    `scores` are in descending order.
    """
    if not scores:
        return []
    last = min(settings.cut, len(scores)) - 1
    middle = (scores[last] + scores[last + 1]) / 2 if last + 1 < len(scores) else scores[last]
    ranks = sorted(range(len(scores)), key=lambda rank: (abs(scores[rank] - middle), rank))
    near = ranks if settings.width is None else [r for r in ranks if abs(scores[r] - middle) <= settings.width]
    return near[: settings.band]


def averaged(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict with the mean of the grades' probabilities, computed in logarithms so that none saturates."""
    logs = [[logit - _log_sum(v.labels.logits) for logit in v.labels.logits] for v in verdicts]
    first, second, third = (_log_sum(column) - math.log(len(verdicts)) for column in zip(*logs, strict=True))
    mass = sum(verdict.labels.mass for verdict in verdicts) / len(verdicts)
    return replace(verdicts[0], labels=LabelLogits((first, second, third), mass))


def _log_sum(values: Sequence[float]) -> float:
    ceiling = max(values)
    return ceiling + math.log(sum(math.exp(value - ceiling) for value in values))


def _columns(by_place: dict[int, RankedDocument]) -> tuple[list[RankedDocument], list[float]]:
    """The documents and their scores in first-stage order, which ties keep."""
    items = [by_place[place] for place in sorted(by_place)]
    return items, [item.score for item in items]


def _permuted(ranking: Ranking, reordered: Sequence[RankedDocument]) -> Ranking:
    """The ranking with the documents of `reordered` in that order, within the positions they hold."""
    if not reordered:
        return ranking
    changed = {item.doc_id for item in reordered}
    following = iter(reordered)
    return _by_places([next(following) if item.doc_id in changed else item for item in ranking])


def _by_places(ranking: Ranking) -> Ranking:
    """The ranking with positions as scores, n to 1, since scores of different passes do not compare."""
    return [replace(item, score=float(len(ranking) - rank)) for rank, item in enumerate(ranking)]
