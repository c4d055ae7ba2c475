"""A chain of rerankers: how each of them ranks."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from interank.modes import RankingMode
from interank.settings.adaptive import AdaptiveRecipe
from interank.settings.base import Settings, as_tuple
from interank.settings.heads import HeadSettings
from interank.settings.listwise import ListwiseRecipe
from interank.settings.precision import Precision, as_precision


class LinkRecipe(Settings):
    """A reranker in a chain."""

    model: str
    """An output of distill or rl, an adapter's or a model's folder, or a hub name."""
    mode: RankingMode = "score"
    """As `mode` of evaluate."""
    depth: int = Field(100, ge=1)
    """How many of the first documents it reranks; those below keep their order."""
    lists: ListwiseRecipe | None = None
    """For `listwise`: windows and prompts; null takes the defaults."""
    adaptive: AdaptiveRecipe | None = None
    """For `adaptive`: the budget and what it is spent on; null takes the defaults."""
    head: HeadSettings | None = None
    """For a pointwise head: how it reads a pair, where its folder does not say so."""
    max_reasoning_tokens: int = Field(256, ge=8)
    """The token budget of an explanation, or of the reasoning about a window."""
    base: str | None = None
    """As `base` of evaluate."""
    precision: Annotated[Precision, BeforeValidator(as_precision)] = "exact"
    """`exact` computes in the model's own precision, `bfloat16` is for CPUs, `nf4` loads base weights in 4 bits."""
    memory: float | None = Field(None, gt=0)
    """As `memory` of evaluate."""


Chain = Annotated[tuple[LinkRecipe, ...], BeforeValidator(as_tuple)]
