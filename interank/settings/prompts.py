"""How a query and a document become tokens, and what base weights are kept in."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from interank.judging import Order
from interank.settings.base import Settings

Quantisation = Literal["auto", "nf4", "none"]


class PromptSettings(Settings):
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
