"""Rerankers one after the other, each on the first documents of the one before: one total order, and what each cost."""

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
    """A reranker in a chain, and how many of the first documents it sees."""

    reranker: Ranks
    depth: int
    name: str = ""


class Chain(Ranks):
    """Ranks with several rerankers; below what one saw, the order of the one before stays."""

    kind = "a chain"
    tag = "interank-chain"

    def __init__(self, links: Sequence[Link]) -> None:
        """Take the links in their order.

        Raises:
            InputError: There is none, or one sees no document.
        """
        if not links or any(link.depth < 1 for link in links):
            raise InputError("a chain needs rerankers, each with a depth of 1 or more; give at least one such link")
        self.links = tuple(links)

    def rank(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        top_k: int | None = None,
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> QueryRanking:
        """All documents best first; behind several links the first of n documents scores n, the last 1.

        Raises:
            InputError: As the rerankers'.
        """
        asked, given = as_query(query), as_documents(documents)
        kept = checked_count("top_k", top_k)
        return QueryRanking.of(asked, given, self.ranked(asked, given, explain, first_stage)[0][:kept])

    def ranked(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> tuple[Ranking, list[Cost]]:
        """The documents best first, and what each link cost.

        Args:
            query: What is asked.
            documents: The candidates, in first-stage order.
            explain: How many the last link explains.
            first_stage: The documents' scores, for a link that has a fit.

        Raises:
            InputError: As the rerankers'.
        """
        asked, given = as_query(query), as_documents(documents)
        by_id = {document.doc_id: document for document in given}
        ranking = [RankedDocument(document.doc_id, 0.0) for document in given]
        scores = dict(zip(by_id, first_stage, strict=True)) if first_stage is not None else None
        costs: list[Cost] = []
        for number, link in enumerate(self.links, start=1):
            head = [by_id[item.doc_id] for item in ranking[: link.depth]]
            first = [scores[document.doc_id] for document in head] if scores is not None else None
            found, taken = link.reranker.ranked(asked, head, explain if number == len(self.links) else 0, first)
            before = {item.doc_id: item for item in ranking}
            ranking = [_joined(before[item.doc_id], item) for item in found] + ranking[link.depth :]
            costs += taken
        if len(self.links) == 1 and len(given) <= self.links[0].depth:
            return ranking, costs
        # Scores of different rerankers do not compare; places do.
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
    """What both know: the last grade and explanation given, and the longest cut."""
    truncated = max(before.truncated, now.truncated)
    explanation = before.explanation if now.explanation is None else now.explanation
    graded = before if now.relevance is None else now
    probability = before.probability if now.probability is None else now.probability
    return replace(graded, score=now.score, explanation=explanation, truncated=truncated, probability=probability)
