"""A reranker whose rankings are finished with a fit: fused with the first stage, calibrated, or both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from interank.errors import InputError
from interank.modes import Guard
from interank.reranking.fitting import Fit, fit_for, stored_fit
from interank.tasks.asked import RankerSettings
from interank.tasks.documents import AnyDocument, as_documents, as_query, by_scores
from interank.tasks.ranks import ListCounts, OneModel, Ranking
from interank.types import Query, RankedDocument


class Fitted(OneModel):
    """Another reranker's scores with what was fitted to them."""

    def __init__(self, ranks: OneModel, fit: Fit, *, stored: bool = False) -> None:
        """Take a reranker that scores each document; a `stored` fit gives way to what it does not go with."""
        self.ranks = ranks
        self.fit = fit
        self.stored = stored
        self.engine = ranks.engine
        self.guard = ranks.guard

    @property
    def counts(self) -> ListCounts:
        """See `Ranks`."""
        return self.ranks.counts

    def graded(self, query: str | Query, documents: Sequence[AnyDocument]) -> Iterator[RankedDocument]:
        """The documents in the order given, with probabilities."""
        for item in self.ranks.graded(query, documents):
            yield self.fit.calibrated(item, item.score)

    def rank(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        top_k: int | None = None,
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> Ranking:
        """See `Ranks`; the fit's order where it has one, else the model's own."""
        asked, given = as_query(query), as_documents(documents)
        found = list(self.graded(asked, given))
        ranking = by_scores(asked.query_id, found)
        if self.fit.fusion:
            # The scores as an evaluation keeps them, so that what it fused is fused so here.
            apart = {item.doc_id: item for item in ranking}
            found = [apart[document.doc_id] for document in given]
            scores = self.fit.fusion.fused([item.score for item in found], first_stage)
            ranking = by_scores(asked.query_id, found, scores)
        return self.ranks.explain(asked, given, ranking[:top_k], explain)

    def explain(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        ranking: Sequence[RankedDocument],
        count: int | None = None,
    ) -> Ranking:
        """See `Ranks`."""
        return self.ranks.explain(query, documents, ranking, count)

    def guarded(self, guard: Guard) -> OneModel:
        """The reranker with a guard and without the fit, which is of scores without one.

        Raises:
            InputError: The fit was asked for.
        """
        if guard == "none":
            return self
        return fitted(self.ranks.guarded(guard), self.fit, stored=self.stored)


def fitted(ranks: OneModel, fit: Fit | None, *, stored: bool = False) -> OneModel:
    """The reranker with a fit, if there is one; scores with a guard take none that was stored.

    Raises:
        InputError: The scores have a guard, and the fit was asked for.
    """
    if fit is None or (stored and ranks.guard != "none"):
        return ranks
    if ranks.guard != "none":
        raise InputError(
            f"guard {ranks.guard} moves scores, and the fit is of scores without one; leave one of them out"
        )
    return Fitted(ranks, fit, stored=stored)


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
