"""How a reranker ranks, and rerankers one after the other."""

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
    """How many of the first documents it sees; those below keep the order that they came in."""
    lists: ListwiseRecipe | None = None
    """For `listwise`: how it goes through them; null takes the defaults."""
    adaptive: AdaptiveRecipe | None = None
    """For `adaptive`: what may be spent, and on what; null takes the defaults."""
    head: HeadSettings | None = None
    """For a pointwise head: how it reads a pair, where its folder does not say so."""
    max_reasoning_tokens: int = Field(256, ge=8)
    """What an explanation may take, or what is thought about a window."""
    base: str | None = None
    """As `base` of evaluate."""
    precision: Annotated[Precision, BeforeValidator(as_precision)] = "exact"
    """The model's own numbers, bfloat16 on a CPU, or base weights in 4 bits."""
    memory: float | None = Field(None, gt=0)
    """As `memory` of evaluate."""


Chain = Annotated[tuple[LinkRecipe, ...], BeforeValidator(as_tuple)]
