"""Settings of prompts, and of the base weights' quantisation."""

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
    """Instructions for judging. Prompts leave out an empty one, and artifacts record only the fields that are set."""

    instruction: Annotated[str, AfterValidator(str.strip)] = Field("", exclude_if=not_)
    """How documents are to be judged, such as `judge for a lawyer: what cites statutes helps`. It applies to queries
    without an instruction of their own. It stands before the query, and its tokens count as the query's."""
    instructed: bool = Field(False, exclude_if=not_)
    """True if training queries had instructions of their own; `distill` sets it. Ranking a query that has one warns if
    the model learned from none."""

    @property
    def follows(self) -> bool:
        """Whether a model with these settings was trained with instructions."""
        return self.instructed or bool(self.instruction)

    @property
    def shown_instruction(self) -> str:
        """The instruction in the recorded wording of prompts: its text, or a placeholder if queries bring their own."""
        return self.instruction or ("{instruction}" if self.instructed else "")

    def instruction_of(self, query: Query) -> str:
        """The query's own instruction, or else `instruction`; empty without either."""
        return (self.instruction if query.instruction is None else query.instruction).strip()

    def learned_from(self, queries: Iterable[Query]) -> Self:
        """Return the settings of a model trained on these queries: `instructed` is set if any has an instruction."""
        own = any(query.instruction and self.instruction_of(query) for query in queries)
        return self.model_copy(update={"instructed": True}) if own else self


class PromptSettings(InstructedSettings):
    """How a query and a document become tokens; training and ranking have to use the same settings."""

    order: Order = "grade_first"
    """`grade_first` explains after the grade, `reason_first` before it."""
    max_length: int = Field(4096, ge=64)
    """Tokens of prompt and answer together; the document is cut to fit."""
    max_query_tokens: int = Field(1024, ge=8)
    """A longer query loses its end."""
    max_document_tokens: int = Field(2048, ge=8)
    """A longer document loses its end."""
    fence: bool = False
    """Whether the document stands between two marker lines, followed by a reminder that nothing in it addresses the
    judge: about 40 tokens against prompt injection; see docs/injection.md."""

    @property
    def wording(self) -> str:
        """The hash of these prompts' wording; see `judging.prompt_hash`."""
        return judging.prompt_hash(fence=self.fence, instruction=self.shown_instruction)
