"""A reranker whose rankings are finished with a fit: fused with the first stage, calibrated, or both."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Self

from interank.errors import InputError
from interank.modes import Guard
from interank.reranking.fitting import Fit, fit_for, stored_fit
from interank.tasks.asked import RankerSettings
from interank.tasks.documents import AnyDocument, by_scores
from interank.tasks.ranks import ListCounts, OneModel, Ranking
from interank.types import Document, Query, RankedDocument


class Fitted(OneModel):
    """Another reranker with what was fitted to its scores, or as it is where nothing was."""

    def __init__(self, ranks: OneModel, fit: Fit | None, *, stored: bool = False) -> None:
        """Take a reranker and its fit; one that was `stored` gives way where the scores have a guard.

        Raises:
            InputError: The scores have a guard, and the fit was asked for.
        """
        if fit and ranks.guard != "none" and not stored:
            raise InputError(
                f"guard {ranks.guard} moves scores, and the fit is of scores without one; leave one of them out"
            )
        self.ranks = ranks
        self.fit = fit if ranks.guard == "none" else None
        """What its rankings are finished with."""
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

    def guarded(self, guard: Guard) -> Self:
        """The same reranker, on the same engine, with this guard against documents that attack it.

        Raises:
            InputError: The mode grades no documents, there is no room for a fence, or scores were fitted without one
                and that fit was asked for; a stored one is left out.
        """
        return self.finished(self.ranks.guarded(guard), self.fit, stored=self.stored)

    def finished(self, ranks: OneModel, fit: Fit | None, *, stored: bool = False) -> Self:
        """The same with another reranker behind it, or another fit.

        Raises:
            InputError: The scores have a guard, and the fit was asked for.
        """
        made = copy.copy(self)
        Fitted.__init__(made, ranks, fit, stored=stored)
        return made

    def graded(self, query: str | Query, documents: Sequence[AnyDocument]) -> Iterator[RankedDocument]:
        """The documents in the order given, part by part as they are graded; unexplained but in mode `reason`.

        Raises:
            InputError: The mode is `listwise`, which orders documents and grades none.
        """
        for item in self.ranks.graded(query, documents):
            yield self.fit.calibrated(item, item.score) if self.fit else item

    def ordered(self, query: Query, documents: Sequence[Document], first_stage: Sequence[float] | None) -> Ranking:
        """See `OneModel`; the fit's order where it has one, else the model's own."""
        if self.fit is None:
            return self.ranks.ordered(query, documents, first_stage)
        found = list(self.graded(query, documents))
        ranking = by_scores(query.query_id, found)
        if self.fit.fusion is None:
            return ranking
        # The scores as an evaluation keeps them, so that what it fused is fused so here.
        apart = {item.doc_id: item for item in ranking}
        found = [apart[document.doc_id] for document in documents]
        scores = self.fit.fusion.fused([item.score for item in found], first_stage)
        return by_scores(query.query_id, found, scores)

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


def fit_of(asked: RankerSettings) -> tuple[Fit | None, bool]:
    """The fit that is asked for, else the one that lies beside the model, and whether it is that one.

    Raises:
        InputError: It is of another model or mode, or cannot be read.
    """
    if asked.fit is not None:
        return fit_for(asked.fit, asked.mode, asked.model), False
    if not asked.stored_fit or asked.model is None:
        return None, True
    return stored_fit(asked.model, asked.mode), True
