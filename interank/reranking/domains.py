"""Several domains on one base: a reranker for each head's adapter, whose base is loaded once and never changed."""

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
    """Rerankers by the names of their domains.

    Args:
        sources: A head's adapter for each domain, as `Reranker` takes it.
        precision: As that of `Reranker`.
        head: How those adapters read a pair whose folders do not say so.
        base: What all of them stand on, where that is said, as that of `Reranker`.

    Raises:
        InputError: They do not stand on the same base, or one is no adapter of a pointwise head.
        ModelError: One cannot be had, or does not say how it reads a pair.
    """
    settings = checked(HeadSettings, head, "head")
    heads = ranker.open_domains(sources, precision=precision, settings=settings, base=base)
    return {name: Reranker.of(head) for name, head in heads.items()}
