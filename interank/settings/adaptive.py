"""Adaptive reranking: the budget of a query beyond its scores, and where it is spent."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import Settings
from interank.settings.listwise import ListwiseRecipe

Spending = Literal["reason", "samples", "listwise", "none"]


class AdaptiveRecipe(Settings):
    """Every document is scored; the rest of the budget goes to the documents around the cut, nearest first."""

    spend: Spending = "reason"
    """What the rest buys: `reason` an explanation before the grade, `samples` several sampled ones, averaged,
    `listwise` an ordering of one window of documents, `none` nothing more."""
    cut: int = Field(10, ge=1)
    """How many top documents of a ranking will be used; documents around this rank are the uncertain ones."""
    band: int | None = Field(20, ge=0)
    """The most documents around the cut that are ranked again; null is all."""
    width: float | None = Field(None, ge=0)
    """The largest distance from the score at the cut at which a document is ranked again; null is any distance."""
    tokens: int | None = Field(None, ge=0)
    """The token budget of a query, prompt and generated tokens together; null is no limit."""
    seconds: float | None = Field(None, ge=0)
    """The time budget of a query. Further work is admitted by the throughput so far, so the last part may overrun;
    null is no limit."""
    samples: int = Field(4, ge=2)
    """For `spend: samples`: explanations sampled for each document; the probabilities of their grades are averaged."""
    temperature: float = Field(0.7, gt=0)
    """For `spend: samples`: the sampling temperature."""
    seed: int = 42
    """For `spend: samples`: the sampling seed."""
    lists: ListwiseRecipe | None = None
    """For `spend: listwise`: the prompt's form, shuffles and the like; the window is the band."""

    @model_validator(mode="after")
    def _lists_are_for_listwise(self) -> AdaptiveRecipe:
        if self.lists and self.spend != "listwise":
            raise ValueError(f"lists: given where spend is {self.spend}; set spend: listwise, or leave it out")
        return self
