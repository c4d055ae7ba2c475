"""What a teacher is asked to order."""

from __future__ import annotations

from pydantic import Field, model_validator

from interank.settings.base import Settings
from interank.settings.listwise import ListPromptSettings


class OrderingsRecipe(Settings):
    """The teacher puts each query's judged documents in an order and says why."""

    window: int = Field(20, ge=2)
    """The most documents of a list; they are spread over the grades and shown in no order."""
    min_ndcg: float = Field(0.8, ge=0, le=1)
    """An order with a lower nDCG@10 by the judgments is rejected."""
    max_reasoning_tokens: int = Field(1024, ge=8)
    """The reasoning's budget; the ranking has its own."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""
    prompt: ListPromptSettings = ListPromptSettings()
    """What the teacher reads."""

    @model_validator(mode="after")
    def _reasoning_is_asked_for(self) -> OrderingsRecipe:
        if self.prompt.form == "direct":
            raise ValueError(
                "prompt.form: direct asks for a ranking without reasoning, and reasoning is what is learned; set reason"
            )
        return self
