"""Ranks the documents of a request in its own thread: scores first, then explanations."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from interank.errors import InputError, InterankError
from interank.modes import Mode
from interank.reranking.fitted_reranker import FittedReranker
from interank.serving.backlog import DisconnectedError, Ticket
from interank.serving.models import Kind, ServedModel, explained_of, mode_of
from interank.serving.options import Options
from interank.serving.quoting import quotes_of, relevant_spans
from interank.serving.requests import Refusal, RerankRequest, RerankResponse, Result, failure
from interank.tasks.query_ranking import QueryRanking
from interank.types import Document, Query, RankedDocument
from interank.wording import counted

log = logging.getLogger(__name__)

_ORDERED: frozenset[Mode] = frozenset({"listwise", "adaptive"})


class ProgressListener(Protocol):
    """A listener to the progress of a request."""

    def ranking(self, response: RerankResponse) -> None:
        """Receive all results, before their explanations are written."""
        ...

    def text(self, index: int, text: str) -> None:
        """Receive a document's explanation so far."""
        ...

    def explained(self, index: int, explanation: str, quotes: list[dict[str, Any]]) -> None:
        """Receive a document's final explanation."""
        ...


@dataclass(frozen=True)
class Job:
    """One request with the model that answers it."""

    request_id: str
    request: RerankRequest
    options: Options
    served: ServedModel
    ticket: Ticket
    begun: float
    """The start, by `time.monotonic`."""

    def answer(self, listener: ProgressListener | None = None) -> RerankResponse:
        """Rank and explain; failures are logged.

        Raises:
            Refusal: The model lacks what the request needs, failed, or missed the deadline.
            DisconnectedError: The client has disconnected.
        """
        try:
            return self._answered(listener)
        except (Refusal, DisconnectedError):
            raise
        except InputError as error:
            raise Refusal("invalid", str(error)) from error
        except InterankError as error:
            # The message may name folders and servers.
            log.error("request %s failed: %s", self.request_id, error)
            raise failure(self.request_id) from error
        except Exception as error:
            log.exception("request %s failed", self.request_id)
            raise failure(self.request_id) from error

    def _answered(self, listener: ProgressListener | None) -> RerankResponse:
        mode = mode_of(self.served.facts, self.options)
        ranks = self.served.ranks(self.options, self.ticket, self.request.most_tokens)
        queries = self._queries()
        cuts = [ranks.query_cut(query) for query, _ in queries]
        if self.request.whole and any(cuts):
            raise Refusal("too_large", "the query exceeds the model's length limit; shorten it, or allow truncation")
        parts = [self._ranked(ranks, mode, query, places) for query, places in queries]
        ranked = {index: item for part in parts for index, item in part.items()}
        self._require_whole(ranked)
        kept = self._reaching(ranked)
        count = explained_of(self.served.facts, mode, self.options, len(kept))
        warnings = self._warnings(ranks, cuts, count)
        response = replace(self._response(ranks, mode, ranked, kept), warnings=warnings)
        if listener is not None:
            listener.ranking(response)
        if count and mode in ("score", "explain") and len(parts) == 1:
            explained = self._explained(ranks, kept, count, listener)
            return replace(self._response(ranks, mode, ranked, explained), warnings=warnings)
        return response

    def _warnings(self, ranks: FittedReranker, cuts: Sequence[int], explained: int) -> tuple[str, ...]:
        """What the client might not expect; `cuts` are the tokens that each query lost."""
        found = []
        if self.request.instruction and not ranks.follows:
            found.append("this model has not learned to follow an instruction")
        if any(cuts):
            count, lost = sum(map(bool, cuts)), counted(sum(cuts), "token")
            found.append(f"queries cut to the model's length: {count} of {len(cuts)}, by {lost}")
        if self.request.spans and not explained:
            found.append("relevant_spans are quotes of explanations, and none was asked for; ask by explain")
        return tuple(found)

    def _queries(self) -> list[tuple[Query, list[int]]]:
        """Each distinct query with the indices of its documents."""
        count = len(self.request.documents)
        if len(self.request.queries) == 1:
            return [(Query("query", self.request.queries[0], self.request.instruction), list(range(count)))]
        places: dict[str, list[int]] = {}
        for place, text in enumerate(self.request.queries):
            places.setdefault(text, []).append(place)
        instruction = self.request.instruction
        return [(Query(f"query{n}", text, instruction), own) for n, (text, own) in enumerate(places.items())]

    def _documents(self, places: Sequence[int]) -> list[Document]:
        texts = self.request.documents
        return [Document(str(place), texts[place].text, texts[place].title) for place in places]

    def _ranked(
        self, ranks: FittedReranker, mode: Mode, query: Query, places: Sequence[int]
    ) -> dict[int, RankedDocument]:
        """A query's ranked documents by index; best first in modes that order documents."""
        documents = self._documents(places)
        items = ranks.ordered(query, documents, None) if mode in _ORDERED else ranks.graded(query, documents)
        return {int(item.doc_id): item for item in items}

    def _reaching(self, ranked: dict[int, RankedDocument]) -> dict[int, RankedDocument]:
        """The documents that reach the minimums.

        Raises:
            Refusal: A minimum is on a value that the model does not give.
        """
        ranking = QueryRanking(Query("query", self.request.queries[0]), ranked.values())
        for name, least in self.options.minimums.items():
            try:
                ranking = ranking.at_least({name: least})
            except InputError as error:
                raise Refusal("invalid", str(error), field=name) from error
        return {int(item.doc_id): item for item in ranking}

    def _explained(
        self, ranks: FittedReranker, ranked: dict[int, RankedDocument], count: int, listener: ProgressListener | None
    ) -> dict[int, RankedDocument]:
        """The documents, the best `count` of them with explanations."""
        best = sorted(ranked.values(), key=lambda item: (-item.score, int(item.doc_id)))[: self.request.top]
        wanted = [int(item.doc_id) for item in best[:count]]
        query = Query("query", self.request.queries[0], self.request.instruction)
        if listener is not None:
            self.ticket.on_text = self._on_text(listener, wanted)
        explained = ranks.explain(query, self._documents(range(len(self.request.documents))), best, count)
        for item in explained[:count]:
            if listener is not None and item.explanation is not None:
                document = self.request.documents[int(item.doc_id)]
                listener.explained(
                    int(item.doc_id), item.explanation, quotes_of(item.explanation, document, query.text)
                )
        return ranked | {int(item.doc_id): item for item in explained}

    def _on_text(
        self, listener: ProgressListener, wanted: Sequence[int]
    ) -> Callable[[int, Sequence[int]], None] | None:
        """A callback that passes growing texts to the listener, by document index."""
        encoder = getattr(self.served, "encoder", None)
        if encoder is None:
            return None
        return lambda place, ids: listener.text(wanted[place], encoder.text(ids).lstrip())

    def _require_whole(self, ranked: dict[int, RankedDocument]) -> None:
        cut = [index for index, item in ranked.items() if item.truncated]
        if self.request.whole and cut:
            raise Refusal(
                "too_large", f"document {min(cut)} exceeds the model's length limit; shorten it, or allow truncation"
            )

    def _response(
        self, ranks: FittedReranker, mode: Mode, ranked: dict[int, RankedDocument], kept: dict[int, RankedDocument]
    ) -> RerankResponse:
        """The response with the `kept` documents; ranks are those among all ranked documents."""
        kind = self.served.kind(mode)
        order = {index: rank for rank, index in enumerate(ranked)} if mode in _ORDERED else {}
        results = tuple(self._result(kept[index], kind, order.get(index)) for index in sorted(kept))
        best = sorted(ranked.values(), key=lambda item: (-item.score, int(item.doc_id)))
        abstains = ranks.fit.abstains(best) if ranks.fit and len(self.request.queries) == 1 else None
        work = ranks.engine.work
        about = {
            "mode": mode,
            "guard": ranks.guard,
            "seconds": round(time.monotonic() - self.begun, 4),
            "queued_seconds": round(self.ticket.queued_seconds, 4),
            "tokens_read": work.tokens_read,
            "tokens_written": work.tokens_written,
        }
        if self.options.minimums:
            about["left_out"] = len(ranked) - len(kept)
        return RerankResponse(
            self.request_id,
            self.served.facts.name,
            int(time.time()),
            results,
            work.tokens_read,
            extra={} if abstains is None else {"abstain": abstains},
            about=about,
        )

    def _result(self, item: RankedDocument, kind: Kind, rank: int | None) -> Result:
        index = int(item.doc_id)
        document = self.request.documents[index]
        count = len(self.request.documents)
        query = self.request.queries[index if len(self.request.queries) > 1 else 0]
        quotes = None if item.explanation is None else quotes_of(item.explanation, document, query)
        graded = kind == "grade" and item.relevance is not None
        extra: dict[str, Any] = {
            "raw_score": item.score,
            "score_kind": kind if rank is None else "rank",
            "grade": int(item.relevance) if graded and item.relevance is not None else None,
            "probabilities": None if item.probabilities is None else list(item.probabilities),
            "label_mass": item.label_mass,
            "explanation": item.explanation,
        }
        if quotes is not None:
            extra |= {"quotes": quotes, "relevant_spans": relevant_spans(quotes)}
        if item.probability is not None:
            extra["probability"] = item.probability
        placed = None if rank is None else (count - rank) / count
        return Result(index, item.score, document, item.truncated, extra, placed)
