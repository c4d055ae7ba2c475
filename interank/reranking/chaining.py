"""Rerankers one after the other, each on the first documents of the one before: one total order, and what each cost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from interank.engines.protocol import Engine
from interank.errors import InputError
from interank.tasks.documents import AnyDocument, as_documents, as_query
from interank.tasks.order.ranker import ListCounts
from interank.types import Document, Query, RankedDocument, Run, ScoredDoc


class Ranks(Protocol):
    """A reranker: whatever its mode, it takes documents in an order and gives them in another."""

    engine: Engine
    counts: ListCounts

    def rank(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        top_k: int | None = None,
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> list[RankedDocument]:
        """The documents best first."""
        ...


@dataclass(frozen=True, slots=True)
class Link:
    """A reranker in a chain, and how many of the first documents it sees."""

    reranker: Ranks
    depth: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What ranking a query's documents took."""

    documents: int
    seconds: float
    tokens_read: int
    tokens_written: int
    flops: float | None
    device: str
    lists: ListCounts
    """What a listwise reranker's answers were like."""

    def as_row(self) -> dict[str, Any]:
        """It as plain data, with `listwise` where windows were asked."""
        row = {**asdict(self), "seconds": round(self.seconds, 4)}
        lists = row.pop("lists")
        return {**row, "listwise": lists} if self.lists.answers else row


class Chain:
    """Ranks with several rerankers; below what one saw, the order of the one before stays."""

    def __init__(self, links: Sequence[Link]) -> None:
        """Take the links in their order.

        Raises:
            InputError: There is none, or one sees no document.
        """
        if not links or any(link.depth < 1 for link in links):
            raise InputError("a chain needs rerankers, each with a depth of 1 or more; give at least one such link")
        self.links = tuple(links)

    def rank(
        self, query: str | Query, documents: Sequence[AnyDocument], top_k: int | None = None
    ) -> list[RankedDocument]:
        """All documents best first; behind several links the first of n documents scores n, the last 1.

        Raises:
            InputError: As the rerankers'.
        """
        return self.ranked(query, documents)[0][:top_k]

    def ranked(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> tuple[list[RankedDocument], list[Cost]]:
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
        costs = []
        for number, link in enumerate(self.links, start=1):
            head = [by_id[item.doc_id] for item in ranking[: link.depth]]
            first = [scores[document.doc_id] for document in head] if scores is not None else None
            found, cost = measured(link.reranker, asked, head, explain if number == len(self.links) else 0, first)
            before = {item.doc_id: item for item in ranking}
            ranking = [_joined(before[item.doc_id], item) for item in found] + ranking[link.depth :]
            costs.append(cost)
        if len(self.links) == 1 and len(given) <= self.links[0].depth:
            return ranking, costs
        # Scores of different rerankers do not compare; places do.
        return [replace(item, score=float(len(ranking) - rank)) for rank, item in enumerate(ranking)], costs

    def rerank(
        self, queries: Iterable[Query], candidates: Run, corpus: Mapping[str, Document], top_k: int | None = None
    ) -> Run:
        """The candidates of many queries in the chain's order.

        Raises:
            InputError: A candidate is not in the corpus.
        """
        found = {
            query.query_id: self.ranked(query, documents, first_stage=_scores(candidates, query))[0][:top_k]
            for query, documents in with_documents(queries, candidates, corpus)
        }
        rankings = {
            name: [ScoredDoc(name, item.doc_id, item.score) for item in ranked] for name, ranked in found.items()
        }
        return Run(rankings, tag="interank-chain")


def measured(
    reranker: Ranks,
    query: Query,
    documents: Sequence[Document],
    explain: int | None = None,
    first_stage: Sequence[float] | None = None,
) -> tuple[list[RankedDocument], Cost]:
    """A reranker's ranking, and what it took."""
    engine = reranker.engine
    work, counts, started = engine.work, reranker.counts, time.monotonic()
    ranking = reranker.rank(query, documents, explain=explain, first_stage=first_stage)
    seconds, done = time.monotonic() - started, engine.work - work
    lists = reranker.counts - counts
    flops = engine.flops(done)
    return ranking, Cost(
        len(documents), seconds, done.tokens_read, done.tokens_written, flops, str(engine.device), lists
    )


def with_documents(
    queries: Iterable[Query], candidates: Run, corpus: Mapping[str, Document]
) -> Iterator[tuple[Query, list[Document]]]:
    """Each query with its candidates' documents, in candidate order; a query without candidates has none.

    Raises:
        InputError: A candidate is not in the corpus.
    """
    for query in queries:
        ids = candidates.doc_ids(query.query_id) if query.query_id in candidates else []
        missing = next((doc_id for doc_id in ids if doc_id not in corpus), None)
        if missing is not None:
            raise InputError(f"the candidate {missing!r} of query {query.query_id!r} is not in the corpus; complete it")
        yield query, [corpus[doc_id] for doc_id in ids]


def _scores(candidates: Run, query: Query) -> list[float]:
    return list(candidates.scores(query.query_id).values()) if query.query_id in candidates else []


def _joined(before: RankedDocument, now: RankedDocument) -> RankedDocument:
    """What both know: the last grade and explanation given, and the longest cut."""
    truncated = max(before.truncated, now.truncated)
    explanation = before.explanation if now.explanation is None else now.explanation
    graded = before if now.relevance is None else now
    probability = before.probability if now.probability is None else now.probability
    return replace(graded, score=now.score, explanation=explanation, truncated=truncated, probability=probability)
