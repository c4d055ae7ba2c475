"""What every reranker is, and what those share that rank by one model, or score each document by itself."""

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
    """What the answers about windows were like."""

    answers: int = 0
    """Answers asked for: windows times shuffles."""
    unreadable: int = 0
    """Answers without a ranking."""
    repaired: int = 0
    """Answers that had to be mended."""
    unranked: int = 0
    """Windows that kept their order, as none of their answers could be read."""
    repairs: Repairs = field(default_factory=Repairs)
    """What was mended, by kind."""

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


class Ranks(Protocol):
    """A reranker: whatever its mode, it takes documents in an order and gives them in another."""

    kind: ClassVar[str] = "a reranker of this kind"
    """What it is called in an error."""
    tag: ClassVar[str] = "interank"
    """Of the runs that it makes."""

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
            query: What is asked.
            documents: The candidates, in first-stage order: texts, `Document`s, or mappings with `id, text, title`.
            top_k: How many to return; None returns all.
            explain: How many of the first get an explanation; None leaves it to the mode.
            first_stage: The documents' first-stage scores, which a fit mixes in; without a fit they do not matter.

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
        """The documents as `rank` gives them, and what each model that had a part in it took."""
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
            found = candidates.scores(query.query_id) if query.query_id in candidates else {}
            missing = next((doc_id for doc_id in found if doc_id not in corpus), None)
            if missing is not None:
                raise InputError(
                    f"the candidate {missing!r} of query {query.query_id!r} is not in the corpus; complete it"
                )
            documents, scores = [corpus[doc_id] for doc_id in found], list(found.values())
            yield query, self.rank(query, documents, top_k, explain, scores or None)

    def graded(self, query: str | Query, documents: Sequence[AnyDocument]) -> Iterator[RankedDocument]:
        """The documents with their scores in the order given, part by part as they are read.

        Raises:
            InputError: It orders documents and scores none by itself.
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
    """A reranker by one model, whose engine counts what a ranking takes."""

    engine: Working
    guard: Guard = "none"

    @property
    def follows(self) -> bool:
        """Whether it has learned to follow queries' instructions."""
        return False

    @property
    def counts(self) -> ListCounts:
        """What the answers about windows were like so far."""
        return ListCounts()

    def ordered(self, query: Query, documents: Sequence[Document], first_stage: Sequence[float] | None) -> Ranking:
        """All documents, best first, with what explanations come of ordering them."""
        ...

    @property
    def can_explain(self) -> bool:
        """Whether it has words for its rankings at all."""
        return True

    def explains(self, count: int | None) -> int:
        """How many documents are explained after they were ordered, where `count` are asked for.

        Raises:
            InputError: So many, or any, cannot be had.
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
        asked, given = as_query(query), as_documents(documents)
        kept, wanted = checked_count("top_k", top_k), self.explains(checked_count("explain", explain))
        ranking = self.ordered(asked, given, first_stage)[:kept]
        return self.explained(asked, given, ranking, wanted) if wanted else ranking

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
            InputError: It gives no grades, or there is no room for the guard.
        """
        if guard == "none":
            return self
        raise InputError(
            f"guard {guard} corrects grades of single documents, and {self.kind} has none; leave one of them out"
        )


class Scores(OneModel, Protocol):
    """A reranker that scores each document by itself, so that a ranking is those scores, sorted."""

    def query_cut(self, query: Query) -> int:
        """How many tokens at the query's end there is no room for."""
        ...

    def scored(self, query: Query, documents: Sequence[Document]) -> Ranking:
        """One part of a query's documents, in the order given, with their scores."""
        ...

    def graded(self, query: str | Query, documents: Sequence[AnyDocument]) -> Iterator[RankedDocument]:
        """See `Ranks`; what does not fit is told in the log."""
        asked, given = as_query(query), as_documents(documents)
        tell_cut(asked.query_id, self.query_cut(asked))
        cut = 0
        for begin in range(0, len(given), PART):
            for item in self.scored(asked, given[begin : begin + PART]):
                cut += item.truncated > 0
                yield item
        if cut:
            # Each document says so itself; a line a query would bury the progress of a benchmark.
            log.debug("query %r: %d of %d documents were read without their ends", asked.query_id, cut, len(given))

    def ordered(self, query: Query, documents: Sequence[Document], first_stage: Sequence[float] | None) -> Ranking:
        """See `OneModel`."""
        return by_scores(query.query_id, list(self.graded(query, documents)))


class Ungraded(OneModel, Protocol):
    """A reranker that gives no grades with words, so that none is explained; it may be one of `Scores` besides."""

    @property
    def can_explain(self) -> bool:
        """See `OneModel`."""
        return False

    def explains(self, count: int | None) -> int:
        """None.

        Raises:
            InputError: An explanation is asked for.
        """
        if count:
            raise InputError(f"{self.kind} gives no grade that could be explained; set explain to 0")
        return 0
