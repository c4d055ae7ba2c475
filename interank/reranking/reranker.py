"""The reranker: grades each document of a query and sorts by the grades' logits, or orders windows of documents."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from interank import judging
from interank.engines.judge import Verdict, explain, grade, reason, whole_sentences
from interank.engines.lists import ListEncoder
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Ability, Engine, EngineName, Precision, Sampling
from interank.errors import InputError
from interank.recipe import ListPromptSettings, ListwiseRecipe
from interank.reranking.chaining import with_documents
from interank.reranking.documents import AnyDocument, as_documents, as_query
from interank.reranking.lists import ListCounts, ListRanker
from interank.reranking.opening import AnyServer, Running, open_engine
from interank.types import Document, Query, RankedDocument, Relevance, Run, ScoredDoc

log = logging.getLogger(__name__)

Mode = Literal["score", "explain", "reason", "listwise"]
Ranking = list[RankedDocument]
AnyLists = ListwiseRecipe | Mapping[str, Any]
"""How a listwise reranker goes through documents, or the keys of that."""

_NEEDED: dict[Mode, frozenset[Ability]] = {
    # A grade is read at a position that is forced, which takes token ids in and the labels' own logits out.
    "score": frozenset({"token_ids", "label_logits"}),
    "explain": frozenset({"token_ids", "label_logits"}),
    "reason": frozenset({"token_ids", "label_logits"}),
    # An order is read from text, which every engine writes.
    "listwise": frozenset(),
}
_EXPLAINED = 3
_LABEL_ROOM = 16
# Documents whose token ids are held at a time; the query's prefix is computed anew for each such part.
_PART = 512


class Reranker:
    """Ranks documents for queries with one model, in one mode."""

    def __init__(
        self,
        source: str | Path,
        *,
        mode: Mode = "score",
        max_reasoning_tokens: int = 256,
        precision: Precision = "exact",
        engine: EngineName = "transformers",
        server: AnyServer | None = None,
        lists: AnyLists | None = None,
    ) -> None:
        """Open a model to rank with.

        Args:
            source: The output of `distill` or `rl`, a PEFT adapter's folder, a model's folder, or its name on the hub.
            mode: `score` grades by one forward pass; `explain` also explains the first documents' grades; `reason`
                explains every document before it grades it; `listwise` has the model order windows of documents.
            max_reasoning_tokens: What an explanation may take, or what is thought about a window.
            precision: `exact`; on a CPU layers in `bfloat16`, with scores a little off, which is faster where the
                processor multiplies it (Intel's AMX), or in `int8`, with scores further off; or base weights in 4 bits
                (`nf4`), which takes less memory.
            engine: What runs the model. `vllm` starts processes that import the program's main module, so a script
                needs its `if __name__ == "__main__":`. With `openai` servers run it, as `vllm serve` does.
            server: For `openai`, a base URL, or keys of a recipe's `teacher.server`; `source` then tells the prompts'
                form, and the model's name on the servers where `server` has no `model`.
            lists: For `listwise`, how it goes through the documents: `ListwiseRecipe` or its keys.

        Raises:
            ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
            ModelError: The model cannot be had.
            InputError: The mode, the engine or the precision is unknown or cannot be had here.
        """
        _check_mode(mode)
        settings = _lists(mode, lists)
        running = Running(engine, precision, server, max_reasoning_tokens + _LABEL_ROOM, settings)
        opened = open_engine(source, running)
        if settings is not None:
            settings = settings.model_copy(update={"prompt": opened.lists})
        self._set(opened.engine, opened.encoder, mode, max_reasoning_tokens, settings)

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
        _check_mode(mode)
        made = cls.__new__(cls)
        made._set(engine, encoder, mode, max_reasoning_tokens, _lists(mode, lists))
        return made

    def rank(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        top_k: int | None = None,
        explain: int | None = None,
    ) -> Ranking:
        """The documents best first; equal scores keep the order given.

        Args:
            query: What is asked.
            documents: The candidates, in first-stage order: texts, `Document`s, or mappings with `id, text, title`.
            top_k: How many to return; None returns all.
            explain: How many of the first get an explanation: by default 3 in mode `explain` and none in `score`.
                In `reason` all have one. In `listwise` the first document has what was thought in the last window.

        Raises:
            InputError: The query is empty, a document has no text, or two have the same id.
        """
        asked, given = as_query(query), as_documents(documents)
        if self.lists is not None:
            return self._listed(self.lists, asked, given)[:top_k]
        found = {item.doc_id: item for item in self.graded(asked, given)}
        scored = [ScoredDoc(asked.query_id, document.doc_id, found[document.doc_id].score) for document in given]
        best = Run.from_scores(scored, tag="interank").get(asked.query_id, ())[:top_k]
        ranking = [replace(found[item.doc_id], score=item.score) for item in best]
        return self.explain(asked, given, ranking, self._count(explain))

    def graded(self, query: str | Query, documents: Sequence[AnyDocument]) -> Iterator[RankedDocument]:
        """The documents in the order given, part by part as they are graded; unexplained but in mode `reason`.

        Raises:
            InputError: The mode is `listwise`, which orders documents and grades none.
        """
        if self.lists is not None:
            raise InputError("mode listwise orders documents and grades none; take another mode for grades")
        asked, given = as_query(query), as_documents(documents)
        if lost := self.encoder.query_cut(asked):
            log.warning("query %r: its last %d tokens are cut off, there is no room for them", asked.query_id, lost)
        cut = 0
        for begin in range(0, len(given), _PART):
            part = given[begin : begin + _PART]
            prompts = self._prompts(asked, part)
            with self._lock:
                verdicts = self._verdicts(prompts)
            for document, prompt, verdict in zip(part, prompts, verdicts, strict=True):
                cut += prompt.cut > 0
                yield _ranked(document, prompt, verdict)
        if cut:
            # Each document says so itself; a line a query would bury the progress of a benchmark.
            log.debug("query %r: %d of %d documents are cut at their ends", asked.query_id, cut, len(given))

    def explain(
        self, query: str | Query, documents: Sequence[AnyDocument], ranking: Sequence[RankedDocument], count: int
    ) -> Ranking:
        """The ranking with explanations of its first `count` documents, given their grades."""
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
            yield query, self.rank(query, documents, top_k, explain)

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
    ) -> Ranking:
        """As `rank`, in a thread: the model computes one call at a time, and the event loop goes on."""
        return await asyncio.to_thread(self.rank, query, documents, top_k, explain)

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
        encoder: PromptEncoder,
        mode: Mode,
        max_reasoning_tokens: int,
        lists: ListwiseRecipe | None,
    ) -> None:
        lacking = _NEEDED[mode] - engine.abilities
        if lacking:
            raise InputError(
                f"mode {mode} needs an engine with {' and '.join(sorted(lacking))}, which {type(engine).__name__} "
                f"on {engine.device} lacks: chat endpoints encode the prompt anew and cannot be made to grade; "
                "use transformers or vllm"
            )
        self.engine = engine
        self.encoder = encoder
        self.mode: Mode = mode
        self.max_reasoning_tokens = max_reasoning_tokens
        self._lock = threading.RLock()
        # What the answers of mode listwise were like so far.
        self.counts = ListCounts()
        self.lists: ListRanker | None = None
        if lists is not None:
            prompts = ListEncoder(encoder, lists.prompt or ListPromptSettings())
            self.lists = ListRanker(engine, prompts, lists, max_reasoning_tokens=max_reasoning_tokens)

    def _listed(self, ranker: ListRanker, query: Query, documents: Sequence[Document]) -> Ranking:
        """An order without grades: the first of n documents scores n, the last 1."""
        if lost := ranker.encoder.query_cut(query):
            log.warning("query %r: its last %d tokens are cut off, there is no room for them", query.query_id, lost)
        with self._lock:
            found = ranker.order(query, documents)
            self.counts += found.counts
        said = [found.reasoning or None, *[None] * len(documents)]
        return [
            RankedDocument(
                documents[place].doc_id,
                float(len(documents) - rank),
                explanation=said[rank],
                truncated=found.cuts[place],
            )
            for rank, place in enumerate(found.order)
        ]

    def _count(self, explain: int | None) -> int:
        if explain is not None and explain < 0:
            raise InputError(f"explain is {explain}; give 0 or more")
        if self.mode == "reason":
            return 0
        return explain if explain is not None else (_EXPLAINED if self.mode == "explain" else 0)

    def _prompts(self, query: Query, documents: Sequence[Document]) -> list[Prompt]:
        if self.mode == "reason":
            room = self.max_reasoning_tokens + _LABEL_ROOM
            return [self.encoder.prompt(query, d, answer_tokens=room, order="reason_first") for d in documents]
        return [self.encoder.prompt(query, d, answer_tokens=_LABEL_ROOM, order="grade_first") for d in documents]

    def _verdicts(self, prompts: Sequence[Prompt]) -> list[Verdict]:
        if self.mode == "reason":
            return reason(self.engine, self.encoder, prompts, Sampling(self.max_reasoning_tokens))
        return [Verdict(labels, "", True) for labels in grade(self.engine, self.encoder, prompts)]

    def _explanations(self, query: Query, graded: Sequence[tuple[Document, Relevance]]) -> list[str]:
        room = self.max_reasoning_tokens + _LABEL_ROOM
        prompts = [self.encoder.prompt(query, d, answer_tokens=room, order="grade_first") for d, _ in graded]
        sampling = Sampling(self.max_reasoning_tokens)
        with self._lock:
            completions = explain(self.engine, self.encoder, prompts, [relevance for _, relevance in graded], sampling)
        texts = [self.encoder.text(item.ids).strip() for item in completions]
        return [
            text if item.finished else whole_sentences(text) or text
            for text, item in zip(texts, completions, strict=True)
        ]


def _lists(mode: Mode, given: AnyLists | None) -> ListwiseRecipe | None:
    if mode != "listwise":
        if given is not None:
            raise InputError(f"found settings of lists in mode {mode}; take mode listwise, or leave them out")
        return None
    try:
        return ListwiseRecipe.model_validate(given or {})
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise InputError(f"lists: {where}{': ' if where else ''}{fault['msg'].removeprefix('Value error, ')}") from None


def _check_mode(mode: str) -> None:
    if mode not in _NEEDED:
        raise InputError(f"found the mode {mode!r}; expected one of {', '.join(_NEEDED)}")


def _ranked(document: Document, prompt: Prompt, verdict: Verdict) -> RankedDocument:
    logits = verdict.labels.logits
    return RankedDocument(
        document.doc_id,
        judging.score(logits),
        judging.most_probable(logits),
        judging.probabilities(logits),
        verdict.labels.mass,
        verdict.reasoning or None,
        prompt.cut,
    )
