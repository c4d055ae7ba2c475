"""The pointwise generative reranker: grades each document of a query and sorts by what the grades' logits say."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from interank import judging
from interank.engines.judge import Verdict, explain, grade, reason, whole_sentences
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Ability, Engine, EngineName, Precision, Sampling
from interank.errors import InputError
from interank.reranking.documents import AnyDocument, as_documents, as_query
from interank.reranking.opening import AnyServer, Running, open_engine
from interank.types import Document, Query, RankedDocument, Relevance, Run, ScoredDoc

log = logging.getLogger(__name__)

Mode = Literal["score", "explain", "reason"]
Ranking = list[RankedDocument]

_NEEDED: dict[Mode, frozenset[Ability]] = {
    # A grade is read at a position that is forced, which takes token ids in and the labels' own logits out.
    "score": frozenset({"token_ids", "label_logits"}),
    "explain": frozenset({"token_ids", "label_logits"}),
    "reason": frozenset({"token_ids", "label_logits"}),
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
    ) -> None:
        """Open a model to rank with.

        Args:
            source: The output of `distill` or `rl`, a PEFT adapter's folder, a model's folder, or its name on the hub.
            mode: `score` grades by one forward pass; `explain` also explains the first documents' grades; `reason`
                explains every document before it grades it.
            max_reasoning_tokens: What an explanation may take.
            precision: `exact`, or `int8` for layers in 8 bits on a CPU: faster, with scores a little off.
            engine: What runs the model. `vllm` starts processes that import the program's main module, so a script
                needs its `if __name__ == "__main__":`. With `openai` servers run it, as `vllm serve` does.
            server: For `openai`, a base URL, or keys of a recipe's `teacher.server`; `source` then tells the prompts'
                form, and the model's name on the servers where `server` has no `model`.

        Raises:
            ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
            ModelError: The model cannot be had.
            InputError: The mode, the engine or the precision is unknown or cannot be had here.
        """
        _check_mode(mode)
        running = Running(engine, precision, server, max_reasoning_tokens + _LABEL_ROOM)
        opened, encoder = open_engine(source, running)
        self._set(opened, encoder, mode, max_reasoning_tokens)

    @classmethod
    def open(cls, source: str | Path, *, mode: Mode = "score", max_reasoning_tokens: int = 256) -> Reranker:
        """As the class itself opens one."""
        return cls(source, mode=mode, max_reasoning_tokens=max_reasoning_tokens)

    @classmethod
    def on(
        cls, engine: Engine, encoder: PromptEncoder, *, mode: Mode = "score", max_reasoning_tokens: int = 256
    ) -> Reranker:
        """A reranker on an engine that is there already.

        Raises:
            InputError: The engine lacks what the mode needs.
        """
        _check_mode(mode)
        made = cls.__new__(cls)
        made._set(engine, encoder, mode, max_reasoning_tokens)
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
                In `reason` all have one.

        Raises:
            InputError: The query is empty, a document has no text, or two have the same id.
        """
        asked, given = as_query(query), as_documents(documents)
        found = {item.doc_id: item for item in self.graded(asked, given)}
        scored = [ScoredDoc(asked.query_id, document.doc_id, found[document.doc_id].score) for document in given]
        best = Run.from_scores(scored, tag="interank").get(asked.query_id, ())[:top_k]
        ranking = [replace(found[item.doc_id], score=item.score) for item in best]
        return self.explain(asked, given, ranking, self._count(explain))

    def graded(self, query: str | Query, documents: Sequence[AnyDocument]) -> Iterator[RankedDocument]:
        """The documents in the order given, part by part as they are graded; unexplained but in mode `reason`."""
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
        first = [item for item in ranking[:count] if item.explanation is None]
        if not first:
            return list(ranking)
        by_id = {document.doc_id: document for document in as_documents(documents)}
        texts = self._explanations(as_query(query), [(by_id[item.doc_id], item.relevance) for item in first])
        said = dict(zip((item.doc_id for item in first), texts, strict=True))
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
        for query in queries:
            ids = candidates.doc_ids(query.query_id) if query.query_id in candidates else []
            missing = next((doc_id for doc_id in ids if doc_id not in corpus), None)
            if missing is not None:
                raise InputError(
                    f"the candidate {missing!r} of query {query.query_id!r} is not in the corpus; complete it"
                )
            yield query, self.rank(query, [corpus[doc_id] for doc_id in ids], top_k, explain)

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

    def _set(self, engine: Engine, encoder: PromptEncoder, mode: Mode, max_reasoning_tokens: int) -> None:
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
