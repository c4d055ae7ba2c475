"""Rerankers of several domains on one base: a head's adapter for each, with the base loaded once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from interank.reranking.reranker import AnyHead, Reranker
from interank.settings import HeadSettings
from interank.settings.base import checked
from interank.settings.precision import Precision
from interank.tasks.head import ranker


def open_domains(
    sources: Mapping[str, str | Path],
    *,
    precision: Precision = "exact",
    head: AnyHead | None = None,
    base: str | None = None,
) -> dict[str, Reranker]:
    """Open the rerankers of all domains, by domain.

    Args:
        sources: A head's adapter for each domain, in the forms that `Reranker` accepts.
        precision: As for `Reranker`.
        head: How a pair is read by adapters whose folders do not say so.
        base: The base model of all adapters; None takes the one that they were trained on.

    Raises:
        InputError: The adapters have different base models, or one is no adapter of a pointwise head.
        ModelError: A model cannot be loaded, or does not say how it reads a pair.
    """
    settings = checked(HeadSettings, head, "head")
    heads = ranker.open_domains(sources, precision=precision, settings=settings, base=base)
    return {name: Reranker.of(head) for name, head in heads.items()}
