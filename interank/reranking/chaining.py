"""Chains rerankers: each reorders the top documents of the one before. The result is one ranking of all documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from interank.errors import InputError
from interank.tasks.documents import AnyDocument, as_documents, as_query, checked_count
from interank.tasks.query_ranking import QueryRanking
from interank.tasks.ranks import Cost, Ranking, Ranks
from interank.types import Query, RankedDocument


@dataclass(frozen=True, slots=True)
class Link:
    """A reranker in a chain, and the number of top documents that it reorders."""

    reranker: Ranks
    depth: int
    name: str = ""


class Chain(Ranks):
    """Ranks with several rerankers; below a link's depth, the order of the previous link stays."""

    kind = "a chain"
    tag = "interank-chain"

    def __init__(self, links: Sequence[Link]) -> None:
        """Chain the links in their order.

        Raises:
            InputError: There are no links, or a depth is below 1.
        """
        if not links or any(link.depth < 1 for link in links):
            raise InputError("a chain needs at least one reranker, each with a depth of 1 or more; add or correct one")
        self.links = tuple(links)

    def rank(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        top_k: int | None = None,
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> QueryRanking:
        """All documents, best first; scores are n to 1 by position, unless a single link ranked all documents.

        Raises:
            InputError: A reranker raises it.
        """
        query, candidates = as_query(query), as_documents(documents)
        kept = checked_count("top_k", top_k)
        return QueryRanking.of(query, candidates, self.ranked(query, candidates, explain, first_stage)[0][:kept])

    def ranked(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> tuple[Ranking, list[Cost]]:
        """The documents, best first, and the cost of each link.

        Args:
            query: The query.
            documents: The candidates, in first-stage order.
            explain: The number of documents that the last link explains.
            first_stage: The documents' first-stage scores, for a link that has a fit.

        Raises:
            InputError: A reranker raises it.
        """
        query, candidates = as_query(query), as_documents(documents)
        by_id = {document.doc_id: document for document in candidates}
        ranking = [RankedDocument(document.doc_id, 0.0) for document in candidates]
        scores = dict(zip(by_id, first_stage, strict=True)) if first_stage is not None else None
        costs: list[Cost] = []
        for number, link in enumerate(self.links, start=1):
            head = [by_id[item.doc_id] for item in ranking[: link.depth]]
            first = [scores[document.doc_id] for document in head] if scores is not None else None
            top, own_costs = link.reranker.ranked(query, head, explain if number == len(self.links) else 0, first)
            before = {item.doc_id: item for item in ranking}
            ranking = [_joined(before[item.doc_id], item) for item in top] + ranking[link.depth :]
            costs += own_costs
        if len(self.links) == 1 and len(candidates) <= self.links[0].depth:
            return ranking, costs
        # Scores of different rerankers do not compare; positions do.
        return [replace(item, score=float(len(ranking) - rank)) for rank, item in enumerate(ranking)], costs

    def explain(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        ranking: Sequence[RankedDocument],
        count: int | None = None,
    ) -> Ranking:
        """See `Ranks`; the last link explains."""
        return self.links[-1].reranker.explain(query, documents, ranking, count)


def _joined(before: RankedDocument, now: RankedDocument) -> RankedDocument:
    """One document's results of two links, merged: the latest grade, explanation and probability; the larger cut."""
    truncated = max(before.truncated, now.truncated)
    explanation = before.explanation if now.explanation is None else now.explanation
    graded = before if now.relevance is None else now
    probability = before.probability if now.probability is None else now.probability
    return replace(graded, score=now.score, explanation=explanation, truncated=truncated, probability=probability)
