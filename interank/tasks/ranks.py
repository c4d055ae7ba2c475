"""The interface of all rerankers, and the bases of those with one model and of those that score single documents."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

from interank.engines.protocol import Working
from interank.errors import InputError
from interank.modes import Guard
from interank.progress import tell_cut
from interank.tasks.documents import AnyDocument, as_documents, as_query, by_scores, checked_count
from interank.tasks.order.ordering import Repairs
from interank.types import Document, Query, RankedDocument, Run, ScoredDoc

log = logging.getLogger(__name__)

Ranking = list[RankedDocument]
# Documents whose token ids are held at a time; the query's prefix is computed anew for each such part.
PART = 512


@dataclass(frozen=True, slots=True)
class ListCounts:
    """Counts of the answers about windows."""

    answers: int = 0
    """Answers asked for: windows times shuffles."""
    unreadable: int = 0
    """Answers without a ranking."""
    repaired: int = 0
    """Answers that had to be repaired."""
    unranked: int = 0
    """Windows that kept their order, as none of their answers could be read."""
    repairs: Repairs = field(default_factory=Repairs)
    """The repairs, by kind."""

    def __add__(self, other: ListCounts) -> ListCounts:
        return ListCounts(
            self.answers + other.answers,
            self.unreadable + other.unreadable,
            self.repaired + other.repaired,
            self.unranked + other.unranked,
            self.repairs + other.repairs,
        )

    def __sub__(self, other: ListCounts) -> ListCounts:
        return ListCounts(
            self.answers - other.answers,
            self.unreadable - other.unreadable,
            self.repaired - other.repaired,
            self.unranked - other.unranked,
            self.repairs - other.repairs,
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of ranking a query's documents."""

    documents: int
    seconds: float
    tokens_read: int
    tokens_written: int
    flops: float | None
    device: str
    lists: ListCounts
    """The answers of a listwise reranker."""

    def as_row(self) -> dict[str, Any]:
        """The cost as plain data, with `listwise` where windows were ranked."""
        row = {**asdict(self), "seconds": round(self.seconds, 4)}
        lists = row.pop("lists")
        return {**row, "listwise": lists} if self.lists.answers else row


class Ranks(Protocol):
    """A reranker of any mode: it takes documents in first-stage order and returns them in its own."""

    kind: ClassVar[str] = "a reranker of this kind"
    """Its name in errors."""
    tag: ClassVar[str] = "interank"
    """The tag of its runs."""

    def rank(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        top_k: int | None = None,
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> Ranking:
        """The documents best first; equal scores keep the order given.

        Args:
            query: The query.
            documents: The candidates, in first-stage order: texts, `Document`s, or mappings with `id, text, title`.
            top_k: How many to return; None returns all.
            explain: How many of the first get an explanation; None leaves it to the mode.
            first_stage: The documents' first-stage scores, which a fit mixes in; unused without a fit.

        Raises:
            InputError: The query is empty, a document has no text, or two have the same id.
        """
        ...

    def ranked(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> tuple[Ranking, list[Cost]]:
        """The documents as `rank` returns them, and the cost of each model that took part."""
        ...

    def rerank(
        self, queries: Iterable[Query], candidates: Run, corpus: Mapping[str, Document], top_k: int | None = None
    ) -> Run:
        """The candidates of many queries in the order of their scores.

        Raises:
            InputError: A candidate is not in the corpus.
        """
        ranked = self.stream(queries, candidates, corpus, top_k, explain=0)
        rankings = {q.query_id: [ScoredDoc(q.query_id, item.doc_id, item.score) for item in r] for q, r in ranked}
        return Run(rankings, tag=self.tag)

    def stream(
        self,
        queries: Iterable[Query],
        candidates: Run,
        corpus: Mapping[str, Document],
        top_k: int | None = None,
        explain: int | None = None,
    ) -> Iterator[tuple[Query, Ranking]]:
        """Each query with its candidates' ranking, as soon as it is made; a query without candidates has none.

        Raises:
            InputError: A candidate is not in the corpus.
        """
        for query in queries:
            first_stage = candidates.scores(query.query_id) if query.query_id in candidates else {}
            missing = next((doc_id for doc_id in first_stage if doc_id not in corpus), None)
            if missing is not None:
                raise InputError(
                    f"the candidate {missing!r} of query {query.query_id!r} is not in the corpus; complete it"
                )
            documents, scores = [corpus[doc_id] for doc_id in first_stage], list(first_stage.values())
            yield query, self.rank(query, documents, top_k, explain, scores or None)

    def graded(self, query: str | Query, documents: Sequence[AnyDocument]) -> Iterator[RankedDocument]:
        """The documents with their scores in the order given, part by part as they are read.

        Raises:
            InputError: The reranker orders documents without scoring each.
        """
        raise InputError(f"{self.kind} orders documents and grades none; take another mode for grades")

    def explain(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        ranking: Sequence[RankedDocument],
        count: int | None = None,
    ) -> Ranking:
        """The ranking with explanations of its first `count` documents, where there are grades to explain."""
        return list(ranking)


class OneModel(Ranks, Protocol):
    """A reranker with one model, whose engine measures the cost of a ranking."""

    engine: Working
    guard: Guard = "none"

    @property
    def follows(self) -> bool:
        """True where the model learned to follow queries' instructions."""
        return False

    @property
    def counts(self) -> ListCounts:
        """Counts of the answers about windows so far."""
        return ListCounts()

    def query_cut(self, query: Query) -> int:
        """The number of tokens that are cut off the query's end."""
        return 0

    def ordered(self, query: Query, documents: Sequence[Document], first_stage: Sequence[float] | None) -> Ranking:
        """All documents, best first, with the explanations that were written to order them."""
        ...

    @property
    def can_explain(self) -> bool:
        """True where it can explain rankings."""
        return True

    def explains(self, count: int | None) -> int:
        """The number of documents to explain after ordering, where `count` are asked for.

        Raises:
            InputError: It cannot explain that many, or any.
        """
        return 0

    def explained(
        self, query: Query, documents: Sequence[Document], ranking: Sequence[RankedDocument], count: int
    ) -> Ranking:
        """The ranking with explanations of its first documents."""
        return list(ranking)

    def rank(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        top_k: int | None = None,
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> Ranking:
        """See `Ranks`."""
        one_query, candidates = as_query(query), as_documents(documents)
        most, wanted = checked_count("top_k", top_k), self.explains(checked_count("explain", explain))
        ranking = self.ordered(one_query, candidates, first_stage)[:most]
        return self.explained(one_query, candidates, ranking, wanted) if wanted else ranking

    def explain(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        ranking: Sequence[RankedDocument],
        count: int | None = None,
    ) -> Ranking:
        """See `Ranks`."""
        wanted = self.explains(count)
        return self.explained(as_query(query), as_documents(documents), ranking, wanted) if wanted else list(ranking)

    def ranked(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> tuple[Ranking, list[Cost]]:
        """See `Ranks`; there is one cost."""
        work, counts, started = self.engine.work, self.counts, time.monotonic()
        ranking = self.rank(query, documents, explain=explain, first_stage=first_stage)
        seconds, done = time.monotonic() - started, self.engine.work - work
        taken = done.tokens_read, done.tokens_written, self.engine.flops(done), str(self.engine.device)
        return ranking, [Cost(len(documents), seconds, *taken, self.counts - counts)]

    def guarded(self, guard: Guard) -> OneModel:
        """The same reranker, on the same engine, with this guard against documents that attack it.

        Raises:
            InputError: The reranker gives no grades, or the prompt has no room for the guard.
        """
        if guard == "none":
            return self
        raise InputError(
            f"guard {guard} corrects grades of single documents, and {self.kind} has none; leave one of them out"
        )


class Scores(OneModel, Protocol):
    """A pointwise reranker, which scores each document by itself and sorts by the scores."""

    def query_cut(self, query: Query) -> int:
        """The number of tokens that are cut off the query's end."""
        ...

    def scored(self, query: Query, documents: Sequence[Document]) -> Ranking:
        """One part of a query's documents, in the order given, with their scores."""
        ...

    def graded(self, query: str | Query, documents: Sequence[AnyDocument]) -> Iterator[RankedDocument]:
        """See `Ranks`; what is cut is logged."""
        one_query, candidates = as_query(query), as_documents(documents)
        tell_cut(one_query.query_id, self.query_cut(one_query))
        cut = 0
        for begin in range(0, len(candidates), PART):
            for item in self.scored(one_query, candidates[begin : begin + PART]):
                cut += item.truncated > 0
                yield item
        if cut:
            # Each document says so itself; a line a query would bury the progress of a benchmark.
            log.debug(
                "query %r: %d of %d documents were read without their ends", one_query.query_id, cut, len(candidates)
            )

    def ordered(self, query: Query, documents: Sequence[Document], first_stage: Sequence[float] | None) -> Ranking:
        """See `OneModel`."""
        return by_scores(query.query_id, list(self.graded(query, documents)))


class UngradedRanker(OneModel, Protocol):
    """A reranker whose results are not explained; it may be one of `Scores` too."""

    @property
    def can_explain(self) -> bool:
        """See `OneModel`."""
        return False

    def explains(self, count: int | None) -> int:
        """0, since nothing is explained.

        Raises:
            InputError: An explanation is asked for.
        """
        if count:
            raise InputError(f"{self.kind} gives no grade that could be explained; set explain to 0")
        return 0
