"""How windows of documents are shown and gone through, by a listwise reranker and by a teacher of orders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import Settings
from interank.settings.prompts import InstructedSettings
from interank.types import Query

ListForm = Literal["reason", "direct", "dear"]
WindowMethod = Literal["sliding", "tournament", "top_down"]


class WindowPromptSettings(InstructedSettings):
    """How a query and a window of documents become tokens; training and use have to agree on it."""

    max_length: int = Field(8192, ge=128)
    """Tokens of prompt and answer together; the documents are cut evenly to fit."""
    max_query_tokens: int = Field(512, ge=8)
    """A longer query loses its end."""
    max_document_tokens: int = Field(512, ge=8)
    """A longer document loses its end."""


class ListPromptSettings(WindowPromptSettings):
    """The same where an order of the window is asked for."""

    form: ListForm = "reason"
    """`reason` thinks before it ranks, `direct` ranks at once, `dear` is the form of DeAR's released adapter."""

    def instruction_of(self, query: Query) -> str:
        """See `InstructedSettings`; DeAR's form has no place for one."""
        return "" if self.form == "dear" else super().instruction_of(query)

    @model_validator(mode="after")
    def _the_form_has_room_for_an_instruction(self) -> ListPromptSettings:
        if self.form == "dear" and self.instruction:
            raise ValueError(
                "instruction: form dear is worded as DeAR's adapter knows it, without one; leave it out, or take "
                "another form"
            )
        return self


class ListwiseRecipe(Settings):
    """How a listwise reranker goes through the documents of a query."""

    method: WindowMethod = "sliding"
    """`sliding` moves a window from the end to the front; `tournament` ranks groups, and then their winners;
    `top_down` compares all with a document of the first window, and ranks the best again."""
    window: int = Field(20, ge=2)
    """Documents in a window."""
    step: int | None = Field(None, ge=1)
    """How far `sliding` moves, null for half a window; what a window shares with the next is what can rise."""
    shuffles: int = Field(1, ge=1)
    """How often each window is asked: first as it is, then shuffled; the answers' ranks are added up."""
    seed: int = 42
    """Decides the shuffles."""
    temperature: float = Field(0.0, ge=0)
    """0 takes the likeliest token."""
    prompt: ListPromptSettings | None = None
    """What the model reads; null takes what an adapter was trained on, else the defaults."""

    @model_validator(mode="after")
    def _windows_overlap(self) -> ListwiseRecipe:
        if self.method == "sliding" and self.step is not None and self.step >= self.window:
            raise ValueError(
                f"step: {self.step} is not below the window of {self.window}, so that no document could rise from one "
                "window to the next; lower it"
            )
        return self

    @property
    def stride(self) -> int:
        """How far `sliding` moves."""
        return self.step or self.window // 2


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
