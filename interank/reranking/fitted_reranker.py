"""Applies a fit to a reranker's rankings: fusion with the first stage, calibration, or both."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Self

from interank.errors import InputError
from interank.modes import Guard
from interank.reranking.fitting import Fit, fit_for, stored_fit
from interank.tasks.documents import AnyDocument, by_scores
from interank.tasks.ranker_settings import RankerSettings
from interank.tasks.ranks import ListCounts, OneModel, Ranking
from interank.types import Document, Query, RankedDocument


class FittedReranker(OneModel):
    """A reranker with an optional fit of its scores; without a fit it ranks as the wrapped reranker does."""

    def __init__(self, ranks: OneModel, fit: Fit | None, *, stored: bool = False) -> None:
        """Wrap a reranker; a `stored` fit is ignored for guarded scores, a requested one refused.

        Raises:
            InputError: The scores are guarded, and the fit was requested.
        """
        if fit and ranks.guard != "none" and not stored:
            raise InputError(
                f"guard {ranks.guard} changes scores, and the fit was made for scores without a guard; leave one of "
                "them out"
            )
        self.ranks = ranks
        self.fit = fit if ranks.guard == "none" else None
        """The fit that is applied to rankings, if any."""
        self.stored = stored
        self.engine = ranks.engine
        self.guard = ranks.guard

    @property
    def follows(self) -> bool:
        """See `OneModel`."""
        return self.ranks.follows

    @property
    def counts(self) -> ListCounts:
        """See `OneModel`."""
        return self.ranks.counts

    def query_cut(self, query: Query) -> int:
        """See `OneModel`."""
        return self.ranks.query_cut(query)

    def guarded(self, guard: Guard) -> Self:
        """The same reranker, on the same engine, with this guard against documents that attack it.

        A stored fit is dropped.

        Raises:
            InputError: The mode grades no documents, the prompt has no room for the guard, or a requested fit was made
                for scores without a guard.
        """
        return self.finished(self.ranks.guarded(guard), self.fit, stored=self.stored)

    def finished(self, ranks: OneModel, fit: Fit | None, *, stored: bool = False) -> Self:
        """A copy that wraps another reranker or applies another fit.

        Raises:
            InputError: The scores are guarded, and the fit was requested.
        """
        made = copy.copy(self)
        FittedReranker.__init__(made, ranks, fit, stored=stored)
        return made

    def graded(self, query: str | Query, documents: Sequence[AnyDocument]) -> Iterator[RankedDocument]:
        """The documents in the order given, yielded as they are graded; only mode `reason` explains them.

        Raises:
            InputError: The mode orders documents without grading them, as `listwise` does.
        """
        for item in self.ranks.graded(query, documents):
            yield self.fit.calibrated(item, item.score) if self.fit else item

    def ordered(self, query: Query, documents: Sequence[Document], first_stage: Sequence[float] | None) -> Ranking:
        """See `OneModel`; in the fused order if the fit has a fusion, else in the model's own."""
        if self.fit is None:
            return self.ranks.ordered(query, documents, first_stage)
        ranking = by_scores(query.query_id, list(self.graded(query, documents)))
        if self.fit.fusion is None:
            return ranking
        # Fuse the ranking's scores, with ties broken, as an evaluation stores and fuses them.
        by_id = {item.doc_id: item for item in ranking}
        candidates = [by_id[document.doc_id] for document in documents]
        scores = self.fit.fusion.fused([item.score for item in candidates], first_stage)
        return by_scores(query.query_id, candidates, scores)

    @property
    def can_explain(self) -> bool:
        """See `OneModel`."""
        return self.ranks.can_explain

    def explains(self, count: int | None) -> int:
        """See `OneModel`."""
        return self.ranks.explains(count)

    def explained(
        self, query: Query, documents: Sequence[Document], ranking: Sequence[RankedDocument], count: int
    ) -> Ranking:
        """See `OneModel`."""
        return self.ranks.explained(query, documents, ranking, count)


def fit_of(settings: RankerSettings) -> tuple[Fit | None, bool]:
    """The requested fit, else the one stored with the model; the flag is False for a requested fit.

    Raises:
        InputError: The fit belongs to another model or mode, or cannot be read.
    """
    if settings.fit is not None:
        return fit_for(settings.fit, settings.mode, settings.model), False
    if not settings.stored_fit or settings.model is None:
        return None, True
    return stored_fit(settings.model, settings.mode), True
