"""How windows of documents are worded and traversed, by a listwise reranker and by a teacher of orders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import Settings
from interank.settings.prompts import InstructedSettings
from interank.types import Query

ListForm = Literal["reason", "direct", "dear"]
WindowMethod = Literal["sliding", "tournament", "top_down"]


class WindowPromptSettings(InstructedSettings):
    """How a query and a window of documents become tokens; training and ranking have to use the same settings."""

    max_length: int = Field(8192, ge=128)
    """Tokens of prompt and answer together; the documents are cut evenly to fit."""
    max_query_tokens: int = Field(512, ge=8)
    """A longer query loses its end."""
    max_document_tokens: int = Field(512, ge=8)
    """A longer document loses its end."""


class ListPromptSettings(WindowPromptSettings):
    """`WindowPromptSettings` of prompts that ask for an order of the window."""

    form: ListForm = "reason"
    """`reason` reasons before it ranks, `direct` ranks at once, `dear` is the form of DeAR's released adapter."""

    def instruction_of(self, query: Query) -> str:
        """See `InstructedSettings`; DeAR's form has no place for one."""
        return "" if self.form == "dear" else super().instruction_of(query)

    @model_validator(mode="after")
    def _the_form_has_room_for_an_instruction(self) -> ListPromptSettings:
        if self.form == "dear" and self.instruction:
            raise ValueError(
                "instruction: form dear has the wording that DeAR's adapter was trained on, without an instruction; "
                "leave it out, or take another form"
            )
        return self


class ListwiseRecipe(Settings):
    """How a listwise reranker traverses the documents of a query."""

    method: WindowMethod = "sliding"
    """`sliding` moves a window from the end to the front; `tournament` ranks groups, and then their winners;
    `top_down` compares all documents with one of the first window, and ranks the best again."""
    window: int = Field(20, ge=2)
    """Documents in a window."""
    step: int | None = Field(None, ge=1)
    """How far `sliding` moves; null is half a window. The overlap of two windows is how many documents can move up."""
    shuffles: int = Field(1, ge=1)
    """How often each window is ranked: first as it is, then shuffled; the ranks are added up."""
    seed: int = 42
    """Decides the shuffles."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""
    prompt: ListPromptSettings | None = None
    """The prompt; null takes the one that an adapter was trained on, else the defaults."""

    @model_validator(mode="after")
    def _windows_overlap(self) -> ListwiseRecipe:
        if self.method == "sliding" and self.step is not None and self.step >= self.window:
            raise ValueError(
                f"step: {self.step} is not below the window of {self.window}, so no document could move up from one "
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
    """The most documents of a list; they are spread over the grades and shown shuffled."""
    min_ndcg: float = Field(0.8, ge=0, le=1)
    """An order whose nDCG@10 against the judgments is lower is rejected."""
    max_reasoning_tokens: int = Field(1024, ge=8)
    """The token budget of the reasoning; the ranking has its own."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""
    prompt: ListPromptSettings = ListPromptSettings()
    """The teacher's prompt."""

    @model_validator(mode="after")
    def _reasoning_is_asked_for(self) -> OrderingsRecipe:
        if self.prompt.form == "direct":
            raise ValueError(
                "prompt.form: direct asks for a ranking without reasoning, which is what the student is to learn; set "
                "reason"
            )
        return self
