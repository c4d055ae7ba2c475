"""How much more than a score is spent on a query, and where."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import Settings
from interank.settings.listwise import ListwiseRecipe

Spending = Literal["reason", "samples", "listwise", "none"]


class AdaptiveRecipe(Settings):
    """Every document is scored; what is left of the budget goes to those around the cut, nearest first."""

    spend: Spending = "reason"
    """On what: the explanation before the grade, several of them sampled and averaged, one window of documents, or
    nothing more."""
    cut: int = Field(10, ge=1)
    """How many documents are kept of a ranking: what lies around this place is uncertain."""
    band: int | None = Field(20, ge=0)
    """How many documents around the cut are taken up again at most; null is all."""
    width: float | None = Field(None, ge=0)
    """How far a document's score may be from the cut's to be taken up; null is any distance."""
    tokens: int | None = Field(None, ge=0)
    """What a query may take in all, tokens read and written together; null is any number."""
    seconds: float | None = Field(None, ge=0)
    """The same in seconds, by the pace so far; what that does not foretell may exceed it."""
    samples: int = Field(4, ge=2)
    """For `samples`: how many explanations of a document, whose grades' probabilities are averaged."""
    temperature: float = Field(0.7, gt=0)
    """For `samples`."""
    seed: int = 42
    """For `samples`."""
    lists: ListwiseRecipe | None = None
    """For `listwise`: the form of the prompt, shuffles and the like; the window is the band."""

    @model_validator(mode="after")
    def _lists_are_for_listwise(self) -> AdaptiveRecipe:
        if self.lists and self.spend != "listwise":
            raise ValueError(f"lists: given where spend is {self.spend}; set spend: listwise, or leave it out")
        return self
