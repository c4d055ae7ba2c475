"""How a query and a document become tokens, and what base weights are kept in."""

from __future__ import annotations

from collections.abc import Iterable
from operator import not_
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field

from interank import judging
from interank.judging import Order
from interank.settings.base import Settings
from interank.types import Query

Quantisation = Literal["auto", "nf4", "none"]


class InstructedSettings(Settings):
    """What documents are judged by beside the question; prompts without it say nothing of it, nor do their settings."""

    instruction: Annotated[str, AfterValidator(str.strip)] = Field("", exclude_if=not_)
    """What documents are to be judged by, as `judge for a lawyer: what cites statutes helps`, for queries that bring no
    instruction of their own. It stands before the query, and its tokens count as the query's."""
    instructed: bool = Field(False, exclude_if=not_)
    """Whether queries' own instructions were learned; distill sets it, and a ranking by one warns where it is false."""

    @property
    def follows(self) -> bool:
        """Whether a model of these prompts has learned from an instruction."""
        return self.instructed or bool(self.instruction)

    @property
    def shown_instruction(self) -> str:
        """What stands for the instruction in the wording that artifacts record."""
        return self.instruction or ("{instruction}" if self.instructed else "")

    def instruction_of(self, query: Query) -> str:
        """The query's own instruction, else the one for all; empty where there is none."""
        return (self.instruction if query.instruction is None else query.instruction).strip()

    def learned_from(self, queries: Iterable[Query]) -> Self:
        """The settings of what is learned from these queries, which say so where some bring their own instruction."""
        own = any(query.instruction and self.instruction_of(query) for query in queries)
        return self.model_copy(update={"instructed": True}) if own else self


class PromptSettings(InstructedSettings):
    """How a query and a document become tokens; training and use have to agree on it."""

    order: Order = "grade_first"
    """`grade_first` explains after the grade, `reason_first` before it."""
    max_length: int = Field(4096, ge=64)
    """Tokens of prompt and answer together; the document is cut to fit."""
    max_query_tokens: int = Field(1024, ge=8)
    """A longer query loses its end."""
    max_document_tokens: int = Field(2048, ge=8)
    """A longer document loses its end."""
    fence: bool = False
    """Whether the document stands between two lines, with a reminder behind it that nothing in it is meant for the
    judge: about 40 tokens against attacks; see docs/injection.md."""

    @property
    def wording(self) -> str:
        """Identifies the wording of these prompts; see `judging.prompt_hash`."""
        return judging.prompt_hash(fence=self.fence, instruction=self.shown_instruction)
