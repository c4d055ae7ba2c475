"""Rankers of pointwise heads: a pair's logit is the document's score; adapters of several domains share one base."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from interank.engines.adapters import merged
from interank.engines.head_engine import HeadEngine
from interank.engines.heads import Head, find_head, load_head, load_heads
from interank.engines.protocol import EngineName
from interank.errors import InputError
from interank.settings import HeadSettings, Quantisation
from interank.settings import student as student_recipe
from interank.settings.precision import Precision
from interank.tasks.documents import naming, warn_unread
from interank.tasks.ranker_settings import RankerSettings, check_precision
from interank.tasks.ranks import Ranking, Scores, UngradedRanker
from interank.types import Document, Query, RankedDocument


class HeadRanker(UngradedRanker, Scores):
    """A reranker by a head's logits."""

    engine: HeadEngine
    kind = "a pointwise head"

    def __init__(self, engine: HeadEngine) -> None:
        self.engine = engine

    def query_cut(self, query: Query) -> int:
        """See `Scores`."""
        return self.engine.head.encoder.query_cut(query)

    def scored(self, query: Query, documents: Sequence[Document]) -> Ranking:
        """See `Scores`."""
        warn_unread(query, self.kind)
        pairs = [self.engine.head.encoder.pair(query, document) for document in documents]
        with naming(query, documents):
            scores = self.engine.scores(pairs)
        return [
            RankedDocument(document.doc_id, score, truncated=pair.cut)
            for document, pair, score in zip(documents, pairs, scores, strict=True)
        ]


def takes(settings: RankerSettings) -> bool:
    """True where the model is a head by its files, or settings of a head are given."""
    if settings.loaded is not None:
        return False
    return settings.head is not None or find_head(str(settings.model), settings.base) is not None


def open_ranker(settings: RankerSettings) -> HeadRanker:
    """The head, with its adapter merged into its base.

    Raises:
        InputError: The settings are not for heads, or the model is no head.
        ModelError: The model is not available, or its folder has no settings of how it reads a pair.
    """
    source = str(settings.model)
    if settings.head is not None and find_head(source, settings.base) is None:
        raise InputError(
            f"{source} is no pointwise head, and settings of one were given; leave them out, or give a head"
        )
    if settings.memory is not None:
        raise InputError(f"memory is for language models; {source} is a head, which keeps no keys; leave memory out")
    quantisation, precision = _dtypes(source, settings.mode, settings.engine, settings.precision)
    head = load_head(source, settings=settings.head, quantisation=quantisation, precision=precision, base=settings.base)
    model = merged(head.model) if hasattr(head.model, "peft_config") else head.model
    return HeadRanker(HeadEngine(Head(model, head.encoder)))


def open_domains(
    sources: Mapping[str, str | Path], *, precision: Precision, settings: HeadSettings | None, base: str | None = None
) -> dict[str, HeadRanker]:
    """Rerankers by several adapters on one base, which is loaded once; no adapter is merged into it.

    Raises:
        InputError: There are none, or their bases differ.
        ModelError: One is not available, or its folder has no settings of how it reads a pair.
    """
    quantisation, weights = _dtypes(", ".join(sources), "score", "transformers", precision)
    # A name with a dot, or that of an attribute, cannot name an adapter.
    adapters = {name: f"domain_{place}" for place, name in enumerate(sources)}
    by_adapter = {adapters[name]: source for name, source in sources.items()}
    heads = load_heads(by_adapter, settings=settings, quantisation=quantisation, precision=weights, base=base)
    lock = threading.RLock()
    return {name: HeadRanker(HeadEngine(heads[own], adapter=own, lock=lock)) for name, own in adapters.items()}


def _dtypes(
    source: str | Path, mode: str, engine: EngineName, precision: Precision
) -> tuple[Quantisation, student_recipe.Precision]:
    """The quantisation of the weights and the dtype of the computation; refuses other modes and engines."""
    if mode != "score":
        raise InputError(f"{source} is a pointwise head, which gives scores and writes nothing; use mode score")
    check_precision(precision)
    if engine != "transformers":
        raise InputError(
            f"{source} is a pointwise head, which runs on engine transformers, and the engine is {engine}; leave it out"
        )
    return "nf4" if precision == "nf4" else "none", "bfloat16" if precision == "bfloat16" else "auto"
