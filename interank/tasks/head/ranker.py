"""Ranks with pointwise heads: a pair's logit is the document's score; several domains' adapters stand on one base."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from interank.engines.adapters import merged
from interank.engines.head_engine import HeadEngine
from interank.engines.heads import Head, find_head, load_head, load_heads
from interank.engines.protocol import EngineName, Precision
from interank.errors import InputError
from interank.settings import HeadSettings, Quantisation
from interank.settings import student as student_recipe
from interank.tasks.documents import naming
from interank.tasks.sources import Running
from interank.types import Document, Query, RankedDocument

log = logging.getLogger(__name__)

AnyHead = HeadSettings | Mapping[str, Any]
"""How a head reads a pair, or the keys of that."""


def open_head(source: str | Path, mode: str, running: Running) -> HeadEngine | None:
    """The engine of a pointwise head that says how it reads a pair; None for any other model.

    Raises:
        InputError: A head cannot do what is asked of it.
        ModelError: The model cannot be had, or does not say how it reads a pair.
    """
    if find_head(source, running.base) is None:
        return None
    numbers = _numbers(source, mode, running.engine, running.precision)
    return _loaded(source, numbers, None, running.base)


def open_told(source: str | Path, *, precision: Precision, settings: AnyHead, base: str | None = None) -> HeadEngine:
    """The engine of a pointwise head that does not say how it reads a pair.

    Raises:
        InputError: It is none, or the settings or the precision cannot be used.
        ModelError: The model cannot be had.
    """
    given = head_settings(settings)
    if find_head(source, base) is None:
        raise InputError(f"found settings of a head, but {source} is none; leave them out, or give a head")
    return _loaded(source, _numbers(source, "score", "transformers", precision), given, base)


def _loaded(
    source: str | Path,
    numbers: tuple[Quantisation, student_recipe.Precision],
    settings: HeadSettings | None,
    base: str | None,
) -> HeadEngine:
    quantisation, precision = numbers
    head = load_head(source, settings=settings, quantisation=quantisation, precision=precision, base=base)
    model = merged(head.model) if hasattr(head.model, "peft_config") else head.model
    return HeadEngine(Head(model, head.encoder))


def open_engines(
    sources: Mapping[str, str | Path], *, precision: Precision, settings: AnyHead | None, base: str | None = None
) -> dict[str, HeadEngine]:
    """The engines of several adapters on one base, which is loaded once; none is ever folded into it.

    Raises:
        InputError: There is none, or they do not stand on the same base.
        ModelError: One cannot be had, or does not say how it reads a pair.
    """
    quantisation, weights = _numbers(", ".join(sources), "score", "transformers", precision)
    # A name with a dot, or that of an attribute, cannot be an adapter's.
    adapters = {name: f"domain_{place}" for place, name in enumerate(sources)}
    numbered = {adapters[name]: source for name, source in sources.items()}
    given = head_settings(settings)
    heads = load_heads(numbered, settings=given, quantisation=quantisation, precision=weights, base=base)
    lock = threading.RLock()
    return {name: HeadEngine(heads[own], adapter=own, lock=lock) for name, own in adapters.items()}


def scored_by_head(engine: HeadEngine, query: Query, documents: Sequence[Document]) -> list[RankedDocument]:
    """The documents in the order given, each with its logit."""
    pairs = [engine.head.encoder.pair(query, document) for document in documents]
    with naming(query, documents):
        scores = engine.scores(pairs)
    return [
        RankedDocument(document.doc_id, score, truncated=pair.cut)
        for document, pair, score in zip(documents, pairs, scores, strict=True)
    ]


def head_settings(given: AnyHead | None) -> HeadSettings | None:
    """What was given, checked.

    Raises:
        InputError: A key is unknown, or its value cannot be used.
    """
    if given is None:
        return None
    try:
        return HeadSettings.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise InputError(f"head: {where}{': ' if where else ''}{fault['msg'].removeprefix('Value error, ')}") from None


def _numbers(
    source: str | Path, mode: str, engine: EngineName, precision: Precision
) -> tuple[Quantisation, student_recipe.Precision]:
    """What the weights are in and what is computed in."""
    if mode != "score":
        raise InputError(f"{source} is a pointwise head, which gives scores and writes nothing; use mode score")
    if engine != "transformers" or precision == "int8":
        found = f"engine {engine}" if engine != "transformers" else "precision int8"
        raise InputError(
            f"{source} is a pointwise head, which runs on engine transformers in precision exact, bfloat16 or nf4; "
            f"found {found}"
        )
    return "nf4" if precision == "nf4" else "none", "bfloat16" if precision == "bfloat16" else "auto"
