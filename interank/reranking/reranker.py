"""`from interank import Reranker`: one model's reranker for Python, with threads, streams and fits at hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypedDict, Unpack

from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Engine, EngineName
from interank.errors import InputError
from interank.modes import Mode
from interank.reranking.fitted import Fitted, fit_of
from interank.reranking.fitting import fit_for
from interank.reranking.opening import open_unfitted
from interank.settings import AdaptiveRecipe, HeadSettings, ListwiseRecipe, ServerRecipe
from interank.settings.base import checked
from interank.settings.precision import Precision
from interank.tasks.asked import AnyServer, Loaded, RankerSettings
from interank.tasks.documents import AnyDocument, as_documents, as_query, checked_count
from interank.tasks.query_ranking import Asked, QueryRanking, set_minimums
from interank.tasks.ranks import OneModel, Ranking
from interank.types import Document, Query, Run

AnyLists = ListwiseRecipe | Mapping[str, Any]
"""How a listwise reranker goes through documents, or the keys of that."""
AnyHead = HeadSettings | Mapping[str, Any]
"""How a head reads a pair, or the keys of that."""
AnyAdaptive = AdaptiveRecipe | Mapping[str, Any]
"""What may be spent, and on what, or the keys of that."""


class Runs(TypedDict, total=False):
    """What a caller may say of what runs a model."""

    engine: EngineName
    """`transformers`, in this process, unless it is said. `vllm` starts processes that import the program's main
    module, so a script needs its `if __name__ == "__main__":`. With `openai` servers run it, as `vllm serve` does."""
    precision: Precision
    """`exact` unless it is said; on a CPU layers in `bfloat16`, with scores a little off, which is faster where the
    processor multiplies it (Intel's AMX); or base weights in 4 bits (`nf4`), which takes less memory."""
    server: AnyServer | None
    """For `openai`, a base URL, or keys of a recipe's `teacher.server`; the model then tells the prompts' form, and its
    name on the servers where `server` has no `model`."""
    memory: float | None
    """Gigabytes that a batch's keys and values may take; half of what the device has free unless it is said."""
    base: str | None
    """The name or folder of what an adapter stands on, where it is not where it was when the adapter was trained.
    Another one than that is taken, with a warning; unsaid, it is refused."""


class Reranker(Fitted):
    """Ranks documents for queries with one model, in one mode."""

    def __init__(
        self,
        source: str | Path,
        *,
        mode: Mode = "score",
        max_reasoning_tokens: int = 256,
        lists: AnyLists | None = None,
        adaptive: AnyAdaptive | None = None,
        head: AnyHead | None = None,
        **runs: Unpack[Runs],
    ) -> None:
        """Open a model to rank with.

        Args:
            source: The output of `distill` or `rl`, a PEFT adapter's folder, a model's folder, or its name on the hub.
                A pointwise head is told from a language model by its files, and takes mode `score` alone.
            mode: `score` grades by one forward pass; `explain` also explains the first documents' grades; `reason`
                explains every document before it grades it; `listwise` has the model order windows of documents;
                `adaptive` scores all documents and reasons about those around the cut, within a budget.
            max_reasoning_tokens: What an explanation may take, or what is thought about a window.
            lists: For `listwise`, how it goes through the documents: `ListwiseRecipe` or its keys.
            adaptive: For `adaptive`, what may be spent, and on what: `AdaptiveRecipe` or its keys.
            head: How a pointwise head reads a pair, where its folder does not say so: `HeadSettings` or its keys.
            **runs: What runs it: `engine`, `server`, `precision`, `memory`; and the `base` of an adapter; see `Runs`.

        Raises:
            ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
            ModelError: The model cannot be had, or an adapter's base, or it is another than the adapter was trained on.
            InputError: The mode, the engine or the precision is unknown or cannot be had here, the settings are of
                another mode, or a stored fit is damaged or another model's.
        """
        server = runs.get("server")
        self._open(
            RankerSettings(
                str(source),
                mode,
                max_reasoning_tokens,
                runs.get("engine", "transformers"),
                checked(ServerRecipe, {"urls": server} if isinstance(server, str) else server, "server"),
                runs.get("precision", "exact"),
                runs.get("base"),
                checked(ListwiseRecipe, lists, "lists"),
                checked(AdaptiveRecipe, adaptive, "adaptive"),
                checked(HeadSettings, head, "head"),
                memory=runs.get("memory"),
            )
        )

    @classmethod
    def on(
        cls,
        engine: Engine,
        encoder: PromptEncoder,
        *,
        mode: Mode = "score",
        max_reasoning_tokens: int = 256,
        lists: AnyLists | None = None,
        adaptive: AnyAdaptive | None = None,
    ) -> Reranker:
        """A reranker on an engine that is there already.

        Raises:
            InputError: The engine lacks what the mode needs.
        """
        made = cls.__new__(cls)
        made._open(
            RankerSettings(
                None,
                mode,
                max_reasoning_tokens,
                lists=checked(ListwiseRecipe, lists, "lists"),
                adaptive=checked(AdaptiveRecipe, adaptive, "adaptive"),
                loaded=Loaded(engine, encoder),
            )
        )
        return made

    @classmethod
    def of(cls, ranks: OneModel, *, mode: Mode = "score", source: str | None = None) -> Reranker:
        """A reranker for Python on one that is open already."""
        made = cls.__new__(cls)
        made.source, made.mode = source, mode
        Fitted.__init__(made, ranks, None)
        return made

    @classmethod
    def open_head(cls, source: str | Path, head: AnyHead, **_: object) -> Reranker:
        """Gone.

        Raises:
            InputError: Says what to write in its place.
        """
        raise InputError(f"Reranker.open_head is gone; write Reranker({str(source)!r}, head={head!r})")

    def _open(self, asked: RankerSettings) -> None:
        asked.check()
        self.source: str | None = asked.model
        """Where its model came from; None where an engine was there already."""
        self.mode: Mode = asked.mode
        fit, stored = fit_of(asked)
        super().__init__(open_unfitted(asked), fit, stored=stored)

    def __repr__(self) -> str:
        return f"Reranker({', '.join(f'{name}={value!r}' for name, value in self._facts().items())})"

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        rows = "".join(
            f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in self._facts().items()
        )
        return f"<table><caption>Reranker</caption>{rows}</table>"

    def _facts(self) -> dict[str, Any]:
        found = {"source": self.source, "mode": self.mode, "guard": self.guard, "device": str(self.engine.device)}
        return found | ({"fit": "stored with the model" if self.stored else "given"} if self.fit else {})

    def rank(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        top_k: int | None = None,
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
        **more: Unpack[Asked],
    ) -> QueryRanking:
        """The documents best first, each with its `document`; equal scores keep the order given.

        Args:
            query: What is asked; many queries are for `rerank` and `stream`.
            documents: The candidates, in first-stage order: texts, `Document`s or mappings with `id, text, title`, in a
                list, a pandas or pyarrow table, a column of one, or a dataset.
            top_k: How many to return; None returns all.
            explain: How many of the first get an explanation; None leaves it to the mode.
            first_stage: The documents' first-stage scores, which a fit mixes in; without a fit they do not matter.
            **more: The `instruction` to judge by; what a document needs to be returned: `min_score`, `min_grade` or
                `min_probability`; see `Asked` and `Least`.

        Raises:
            InputError: There are several queries or an empty one, a document has no text, two have the same id, or a
                minimum is of what this reranker does not tell.
        """
        asked, given = as_query(query).judged_by(more.pop("instruction", None)), as_documents(documents)
        wanted = set_minimums(more)
        if not wanted:
            return QueryRanking.of(asked, given, super().rank(asked, given, top_k, explain, first_stage))
        # Nothing is explained that is not returned.
        ranking = super().rank(asked, given, None, 0, first_stage)
        kept = QueryRanking.of(asked, given, ranking).at_least(wanted)[: checked_count("top_k", top_k)]
        return QueryRanking.of(asked, given, self.explain(asked, given, kept, explain))

    def with_fit(self, fit: str | Path) -> Reranker:
        """The same reranker with what `interank fit` found: `rank` fuses, its documents have a `probability`.

        Args:
            fit: A fit's file, or the model's folder that stores it.

        Raises:
            InputError: It is of another model or mode, or cannot be read, or scores have a guard.
        """
        return self.finished(self.ranks, fit_for(fit, self.mode, self.source))

    def without_fit(self) -> Reranker:
        """The same reranker without what its rankings are finished with, stored or given."""
        return self.finished(self.ranks, None)

    async def arank(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        top_k: int | None = None,
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> QueryRanking:
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
