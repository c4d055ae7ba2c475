"""`from interank import Reranker`: the Python interface to one model's reranker, with async calls and fits."""

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
from interank.reranking.fitted_reranker import FittedReranker, fit_of
from interank.reranking.fitting import fit_for
from interank.reranking.opening import open_unfitted
from interank.settings import AdaptiveRecipe, HeadSettings, ListwiseRecipe, ServerRecipe
from interank.settings.base import checked
from interank.settings.precision import Precision
from interank.tasks.documents import AnyDocument, as_documents, as_query, checked_count
from interank.tasks.query_ranking import QueryOptions, QueryRanking, set_minimums
from interank.tasks.ranker_settings import AnyServer, LoadedModel, RankerSettings
from interank.tasks.ranks import OneModel, Ranking
from interank.types import Document, Query, Run

AnyLists = ListwiseRecipe | Mapping[str, Any]
"""The windows of a listwise reranker, as settings or as a mapping of their keys."""
AnyHead = HeadSettings | Mapping[str, Any]
"""How a head reads a pair, as settings or as a mapping of their keys."""
AnyAdaptive = AdaptiveRecipe | Mapping[str, Any]
"""An adaptive reranker's budget and use of it, as settings or as a mapping of their keys."""


class Runs(TypedDict, total=False):
    """Optional arguments about the engine that runs a model."""

    engine: EngineName
    """`transformers` (default) runs the model in this process. `vllm` starts processes that import the program's main
    module, so a script needs `if __name__ == "__main__":`. `openai` calls servers that run it, such as `vllm serve`."""
    precision: Precision
    """`exact` (default); `bfloat16` for layers on a CPU, faster where the processor multiplies it (Intel's AMX), with
    slightly different scores; or `nf4`, base weights in 4 bits, which takes less memory."""
    server: AnyServer | None
    """For `openai`, a base URL or keys of a recipe's `teacher.server`. The model's folder then gives the prompts' form,
    and also the model's name on the servers if `server` has no `model`."""
    memory: float | None
    """Gigabytes that a batch's keys and values may take; half of the device's free memory by default."""
    base: str | None
    """The name or folder of an adapter's base model, if it has moved since the training. A base model other than the
    one of the training is used with a warning if it is named here, and refused otherwise."""


class Reranker(FittedReranker):
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
                A pointwise head is recognised by its files, and has only mode `score`.
            mode: `score` grades by one forward pass; `explain` also explains the first documents' grades; `reason`
                explains every document before it grades it; `listwise` has the model order windows of documents;
                `adaptive` scores all documents and reasons about those around the cut, within a budget.
            max_reasoning_tokens: The most tokens of an explanation, or of the reasoning about a window.
            lists: For `listwise`, the windows: `ListwiseRecipe` or its keys.
            adaptive: For `adaptive`, the budget and its use: `AdaptiveRecipe` or its keys.
            head: How a pointwise head reads a pair, if its folder does not say so: `HeadSettings` or its keys.
            **runs: The engine: `engine`, `server`, `precision`, `memory`; and the `base` of an adapter; see `Runs`.

        Raises:
            ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
            ModelError: The model or an adapter's base cannot be loaded, or the base is not the one that the adapter
                was trained on.
            InputError: The mode, the engine or the precision is unknown or not available here, settings belong to
                another mode, or a stored fit is damaged or belongs to another model.
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
        """A reranker on an engine that is already loaded.

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
                loaded=LoadedModel(engine, encoder),
            )
        )
        return made

    @classmethod
    def of(cls, ranks: OneModel, *, mode: Mode = "score", source: str | None = None) -> Reranker:
        """A `Reranker` around one that is already open."""
        made = cls.__new__(cls)
        made.source, made.mode = source, mode
        FittedReranker.__init__(made, ranks, None)
        return made

    @classmethod
    def open_head(cls, source: str | Path, head: AnyHead, **_: object) -> Reranker:
        """Removed; `Reranker(source, head=...)` replaces it.

        Raises:
            InputError: Always; the message has the call to write instead.
        """
        raise InputError(f"Reranker.open_head was removed; write Reranker({str(source)!r}, head={head!r})")

    def _open(self, settings: RankerSettings) -> None:
        settings.check()
        self.source: str | None = settings.model
        """The model's source; None if the engine was already loaded."""
        self.mode: Mode = settings.mode
        fit, stored = fit_of(settings)
        super().__init__(open_unfitted(settings), fit, stored=stored)

    def __repr__(self) -> str:
        return f"Reranker({', '.join(f'{name}={value!r}' for name, value in self._facts().items())})"

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        rows = "".join(
            f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in self._facts().items()
        )
        return f"<table><caption>Reranker</caption>{rows}</table>"

    def _facts(self) -> dict[str, Any]:
        facts = {"source": self.source, "mode": self.mode, "guard": self.guard, "device": str(self.engine.device)}
        return facts | ({"fit": "stored with the model" if self.stored else "given"} if self.fit else {})

    def rank(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        top_k: int | None = None,
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
        **more: Unpack[QueryOptions],
    ) -> QueryRanking:
        """The documents, best first, each with its `document`; equal scores keep the order given.

        Args:
            query: The query; for many queries, use `rerank` or `stream`.
            documents: The candidates, in first-stage order: texts, `Document`s or mappings with `id, text, title`, in a
                list, a pandas or pyarrow table, a column of one, or a dataset.
            top_k: How many to return; None returns all.
            explain: How many of the top documents get an explanation; None leaves it to the mode.
            first_stage: The documents' first-stage scores, for a fit's fusion; unused without a fit.
            **more: The query's `instruction`, and the minimums that a document must reach to be returned: `min_score`,
                `min_grade` or `min_probability`; see `QueryOptions` and `Least`.

        Raises:
            InputError: There are several queries or an empty one, a document has no text, two have the same id, or a
                minimum is on a value that this reranker does not give.
        """
        query, candidates = as_query(query).judged_by(more.pop("instruction", None)), as_documents(documents)
        minimums = set_minimums(more)
        if not minimums:
            return QueryRanking.of(query, candidates, super().rank(query, candidates, top_k, explain, first_stage))
        # Explain only the documents that are returned.
        ranking = super().rank(query, candidates, None, 0, first_stage)
        kept = QueryRanking.of(query, candidates, ranking).at_least(minimums)[: checked_count("top_k", top_k)]
        return QueryRanking.of(query, candidates, self.explain(query, candidates, kept, explain))

    def with_fit(self, fit: str | Path) -> Reranker:
        """The same reranker with an output of `interank fit`: `rank` fuses, and documents have a `probability`.

        Args:
            fit: A fit's file, or the model's folder that stores it.

        Raises:
            InputError: The fit belongs to another model or mode, or cannot be read, or the scores have a guard.
        """
        return self.finished(self.ranks, fit_for(fit, self.mode, self.source))

    def without_fit(self) -> Reranker:
        """The same reranker without its fit, stored or given."""
        return self.finished(self.ranks, None)

    async def arank(
        self,
        query: str | Query,
        documents: Sequence[AnyDocument],
        top_k: int | None = None,
        explain: int | None = None,
        first_stage: Sequence[float] | None = None,
    ) -> QueryRanking:
        """As `rank`, in a thread, so that the event loop keeps running; the model computes one call at a time."""
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
