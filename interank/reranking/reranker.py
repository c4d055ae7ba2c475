"""The reranker: grades each document of a query and sorts by the grades' logits, or orders windows of documents."""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from interank.engines.head_engine import HeadEngine
from interank.engines.judge import Verdict, explain, grade, reason, whole_sentences
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Engine, Precision, Sampling
from interank.errors import InputError
from interank.reranking.chaining import with_documents
from interank.reranking.fitting import Fit, fit_for, fused_ranking, stored_fit
from interank.reranking.modes import Mode, check_engine, check_mode, how_many_explained
from interank.settings import ListPromptSettings, ListwiseRecipe
from interank.tasks.documents import AnyDocument, as_documents, as_query, naming, ranked_document
from interank.tasks.head.ranker import AnyHead, open_head, open_told, scored_by_head
from interank.tasks.judge.guard import NO_DOCUMENT, NO_QUESTION, Guard, contrasted
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.ranker import AnyLists, ListCounts, ListRanker, list_settings
from interank.tasks.sources import Running, Runs, open_engine
from interank.types import Document, Query, RankedDocument, Relevance, Run, ScoredDoc

log = logging.getLogger(__name__)

Ranking = list[RankedDocument]
_LABEL_ROOM = 16
# Documents whose token ids are held at a time; the query's prefix is computed anew for each such part.
PART = 512


class Reranker:
    """Ranks documents for queries with one model, in one mode."""

    source: str | None = None
    """Where its model came from; None where an engine was there already."""
    fit: Fit | None = None
    """What its rankings are finished with."""
    fit_is_stored = False
    """Whether it lay beside the model and nobody asked for it, so that it gives way to what it does not go with."""

    def __init__(
        self,
        source: str | Path,
        *,
        mode: Mode = "score",
        max_reasoning_tokens: int = 256,
        lists: AnyLists | None = None,
        **runs: Unpack[Runs],
    ) -> None:
        """Open a model to rank with.

        Args:
            source: The output of `distill` or `rl`, a PEFT adapter's folder, a model's folder, or its name on the hub.
                A pointwise head is told from a language model by its files, and takes mode `score` alone;
                see `open_head` for those that do not say how they read a pair.
            mode: `score` grades by one forward pass; `explain` also explains the first documents' grades; `reason`
                explains every document before it grades it; `listwise` has the model order windows of documents.
            max_reasoning_tokens: What an explanation may take, or what is thought about a window.
            lists: For `listwise`, how it goes through the documents: `ListwiseRecipe` or its keys.
            **runs: What runs it: `engine`, `server`, `precision`; and the `base` of an adapter; see `Runs`.

        Raises:
            ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
            ModelError: The model cannot be had, or an adapter's base, or it is another than the adapter was trained on.
            InputError: The mode, the engine or the precision is unknown or cannot be had here, or a stored fit is
                damaged or another model's.
        """
        check_mode(mode)
        self.source = str(source)
        self.fit, self.fit_is_stored = stored_fit(source, mode), True
        settings = list_settings(mode, lists)
        running = Running(**runs, answer_tokens=max_reasoning_tokens + _LABEL_ROOM, lists=settings)
        if found := open_head(source, mode, running):
            self._set(found, None, mode, max_reasoning_tokens, None)
            return
        opened = open_engine(source, running)
        if settings is not None:
            settings = settings.model_copy(update={"prompt": opened.lists})
        self._set(opened.engine, opened.encoder, mode, max_reasoning_tokens, settings)
        self.list_prompts = opened.lists

    @classmethod
    def open(
        cls,
        source: str | Path,
        *,
        mode: Mode = "score",
        max_reasoning_tokens: int = 256,
        lists: AnyLists | None = None,
    ) -> Reranker:
        """As the class itself opens one."""
        return cls(source, mode=mode, max_reasoning_tokens=max_reasoning_tokens, lists=lists)

    @classmethod
    def on(
        cls,
        engine: Engine,
        encoder: PromptEncoder,
        *,
        mode: Mode = "score",
        max_reasoning_tokens: int = 256,
        lists: AnyLists | None = None,
    ) -> Reranker:
        """A reranker on an engine that is there already.

        Raises:
            InputError: The engine lacks what the mode needs.
        """
        check_mode(mode)
        made = cls.__new__(cls)
        made._set(engine, encoder, mode, max_reasoning_tokens, list_settings(mode, lists))
        return made

    @classmethod
    def open_head(
        cls, source: str | Path, head: AnyHead, *, precision: Precision = "exact", base: str | None = None
    ) -> Reranker:
        """A pointwise head whose folder does not say how it reads a pair: `HeadSettings` or its keys say it.

        Raises:
            ModelError: The model cannot be had.
            InputError: It is no head, or the settings or the precision cannot be used.
        """
        return cls.of_head(open_told(source, precision=precision, settings=head, base=base), str(source))

    @classmethod
    def of_head(cls, engine: HeadEngine, source: str | None = None) -> Reranker:
        """A reranker on a head that is there already."""
        made = cls.__new__(cls)
        made._set(engine, None, "score", 0, None)
        made.source = source
        return made

    @property
    def encoder(self) -> PromptEncoder:
        """What makes prompts; a pointwise head has none, and raises an `InputError`."""
        if self._encoder is None:
            raise InputError("a pointwise head reads pairs and no prompts; use a model that grades or writes")
        return self._encoder

    def in_mode(self, mode: Mode) -> Reranker:
        """The same model in another mode that grades, with the fit that is stored of it.

        Raises:
            InputError: The mode is unknown, or orders lists, or the engine lacks what it needs.
        """
        if mode == "listwise":
            raise InputError("a reranker that grades documents orders no lists; open the model in mode listwise")
        made = Reranker.on(self.engine, self.encoder, mode=mode, max_reasoning_tokens=self.max_reasoning_tokens)
        made.source, made.list_prompts, made._lock = self.source, self.list_prompts, self._lock
        made.guard = self.guard
        if self.source and self.guard == "none":
            made.fit, made.fit_is_stored = stored_fit(self.source, mode), True
        return made

    def with_fit(self, fit: str | Path) -> Reranker:
        """The same reranker with what `interank fit` found: `rank` fuses, its documents have a `probability`.

        Args:
            fit: A fit's file, or the model's folder that stores it.

        Raises:
            InputError: It is of another model or mode, or cannot be read.
        """
        made = copy.copy(self)
        made.fit, made.fit_is_stored = fit_for(fit, self.mode, self.source), False
        return made

    def without_fit(self) -> Reranker:
        """The same reranker without what its rankings are finished with, stored or given."""
        made = copy.copy(self)
        made.fit = None
        return made

    def guarded(self, guard: Guard) -> Reranker:
        """The same reranker, on the same engine, with this guard against documents that attack it.

        Raises:
            InputError: The mode grades no documents, there is no room for a fence, or scores were fitted without one
                and that fit was given; a stored one is left out.
        """
        gradeless = "a pointwise head" if isinstance(self.engine, HeadEngine) else self.lists and "mode listwise"
        if gradeless and guard != "none":
            raise InputError(f"guard {guard} corrects grades, and {gradeless} has none; leave one of them out")
        if self.fit is not None and not self.fit_is_stored and guard != "none":
            raise InputError(f"guard {guard} moves scores, and the fit is of scores without one; leave one of them out")
        made = copy.copy(self)
        made.guard, made.fit = guard, self.fit if guard == "none" else None
        if guard == "fence":
            made._encoder = self.encoder.fenced()
        return made

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
            explain: How many of the first get an explanation: by default 3 in mode `explain` and none in `score`.
                In `reason` all have one. In `listwise` the first document has what was thought in the last window.
            first_stage: The documents' first-stage scores, which a fit mixes in; without a fit they do not matter.

        Raises:
            InputError: The query is empty, a document has no text, or two have the same id.
        """
        asked, given = as_query(query), as_documents(documents)
        if self.lists is not None:
            return self._listed(self.lists, asked, given)[:top_k]
        found = list(self.graded(asked, given))
        ranking = fused_ranking(asked.query_id, found, [item.score for item in found])
        if self.fit and self.fit.fusion:
            # The scores as an evaluation keeps them, so that what it fused is fused so here.
            apart = {item.doc_id: item for item in ranking}
            found = [apart[document.doc_id] for document in given]
            scores = self.fit.fusion.fused([item.score for item in found], first_stage)
            ranking = fused_ranking(asked.query_id, found, scores)
        ranking = ranking[:top_k]
        return self.explain(asked, given, ranking, how_many_explained(self.mode, explain))

    def graded(self, query: str | Query, documents: Sequence[AnyDocument]) -> Iterator[RankedDocument]:
        """The documents in the order given, part by part as they are graded; unexplained but in mode `reason`.

        Raises:
            InputError: The mode is `listwise`, which orders documents and grades none.
        """
        if self.lists is not None:
            raise InputError("mode listwise orders documents and grades none; take another mode for grades")
        asked, given = as_query(query), as_documents(documents)
        reader = self.engine.head.encoder if isinstance(self.engine, HeadEngine) else self.encoder
        if lost := reader.query_cut(asked):
            log.warning("query %r: its last %d tokens are cut off, there is no room for them", asked.query_id, lost)
        cut = 0
        for begin in range(0, len(given), PART):
            for item in self._part(asked, given[begin : begin + PART]):
                cut += item.truncated > 0
                yield self.fit.calibrated(item, item.score) if self.fit else item
        if cut:
            # Each document says so itself; a line a query would bury the progress of a benchmark.
            log.debug("query %r: %d of %d documents are cut at their ends", asked.query_id, cut, len(given))

    def explain(
        self, query: str | Query, documents: Sequence[AnyDocument], ranking: Sequence[RankedDocument], count: int
    ) -> Ranking:
        """The ranking with explanations of its first `count` documents, given their grades; a head gives none."""
        if count and isinstance(self.engine, HeadEngine):
            raise InputError("a pointwise head gives no grade that could be explained; leave explain out")
        first = [(i, i.relevance) for i in ranking[:count] if i.explanation is None and i.relevance is not None]
        if not first:
            return list(ranking)
        by_id = {document.doc_id: document for document in as_documents(documents)}
        texts = self._explanations(as_query(query), [(by_id[item.doc_id], relevance) for item, relevance in first])
        said = dict(zip((item.doc_id for item, _ in first), texts, strict=True))
        return [replace(i, explanation=said[i.doc_id]) if i.doc_id in said else i for i in ranking]

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
        for query, documents in with_documents(queries, candidates, corpus):
            first = list(candidates.scores(query.query_id).values()) if documents else None
            yield query, self.rank(query, documents, top_k, explain, first)

    def rerank(
        self, queries: Iterable[Query], candidates: Run, corpus: Mapping[str, Document], top_k: int | None = None
    ) -> Run:
        """The candidates of many queries in the order of their scores.

        Raises:
            InputError: A candidate is not in the corpus.
        """
        ranked = self.stream(queries, candidates, corpus, top_k, explain=0)
        rankings = {q.query_id: [ScoredDoc(q.query_id, item.doc_id, item.score) for item in r] for q, r in ranked}
        return Run(rankings, tag="interank")

    async def arank(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        top_k: int | None = None,
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> Ranking:
        """As `rank`, in a thread: the model computes one call at a time, and the event loop goes on."""
        return await asyncio.to_thread(self.rank, query, documents, top_k, explain, first_stage)

    async def astream(
        self,
        queries: Iterable[Query],
        candidates: Run,
        corpus: Mapping[str, Document],
        top_k: int | None = None,
        explain: int | None = None,
    ) -> AsyncIterator[tuple[Query, Ranking]]:
        """As `stream`, in a thread."""
        results = self.stream(queries, candidates, corpus, top_k, explain)
        while (item := await asyncio.to_thread(next, results, None)) is not None:
            yield item

    def _set(
        self,
        engine: Engine,
        encoder: PromptEncoder | None,
        mode: Mode,
        max_reasoning_tokens: int,
        lists: ListwiseRecipe | None,
    ) -> None:
        """Take what was opened; a head alone comes without an encoder of prompts."""
        if encoder:
            check_engine(mode, engine)
        self.engine = engine
        self._encoder = encoder
        self.mode: Mode = mode
        self.guard: Guard = "none"
        self.max_reasoning_tokens = max_reasoning_tokens
        self._lock = threading.RLock()
        self.list_prompts = ListPromptSettings()
        # What the answers of mode listwise were like so far.
        self.counts = ListCounts()
        self.lists: ListRanker | None = None
        if lists is not None:
            prompts = ListEncoder(self.encoder, lists.prompt or ListPromptSettings())
            self.lists = ListRanker(engine, prompts, lists, max_reasoning_tokens=max_reasoning_tokens)

    def _listed(self, ranker: ListRanker, query: Query, documents: Sequence[Document]) -> Ranking:
        """An order without grades."""
        if lost := ranker.encoder.query_cut(query):
            log.warning("query %r: its last %d tokens are cut off, there is no room for them", query.query_id, lost)
        with self._lock, naming(query, []):
            found = ranker.order(query, documents)
            self.counts += found.counts
        return found.ranking(documents)

    def _part(self, query: Query, documents: Sequence[Document]) -> Ranking:
        """The documents in the order given, scored by whatever scores them here."""
        if isinstance(self.engine, HeadEngine):
            return scored_by_head(self.engine, query, documents)
        prompts = self.prompts(query, documents)
        with self._lock, naming(query, documents):
            verdicts = self._guarded(documents, self._verdicts(prompts))
        return [ranked_document(*found) for found in zip(documents, prompts, verdicts, strict=True)]

    def prompts(self, query: Query, documents: Sequence[Document]) -> list[Prompt]:
        """What the model reads of each document in this mode."""
        if self.mode == "reason":
            room = self.max_reasoning_tokens + _LABEL_ROOM
            return [self.encoder.prompt(query, d, answer_tokens=room, order="reason_first") for d in documents]
        return [self.encoder.prompt(query, d, answer_tokens=_LABEL_ROOM, order="grade_first") for d in documents]

    def _verdicts(self, prompts: Sequence[Prompt]) -> list[Verdict]:
        if self.mode == "reason":
            return reason(self.engine, self.encoder, prompts, Sampling(self.max_reasoning_tokens))
        return [Verdict(labels, "", True) for labels in grade(self.engine, self.encoder, prompts)]

    def _guarded(self, documents: Sequence[Document], verdicts: list[Verdict]) -> list[Verdict]:
        if self.guard != "contrast":
            return verdicts
        *unasked, nothing = self._verdicts(self.prompts(NO_QUESTION, [*documents, NO_DOCUMENT]))
        return [contrasted(found, alone, nothing) for found, alone in zip(verdicts, unasked, strict=True)]

    def _explanations(self, query: Query, graded: Sequence[tuple[Document, Relevance]]) -> list[str]:
        room = self.max_reasoning_tokens + _LABEL_ROOM
        prompts = [self.encoder.prompt(query, d, answer_tokens=room, order="grade_first") for d, _ in graded]
        sampling = Sampling(self.max_reasoning_tokens)
        with self._lock, naming(query, [document for document, _ in graded]):
            completions = explain(self.engine, self.encoder, prompts, [relevance for _, relevance in graded], sampling)
        texts = [self.encoder.text(item.ids).strip() for item in completions]
        return [
            text if item.finished else whole_sentences(text) or text
            for text, item in zip(texts, completions, strict=True)
        ]
