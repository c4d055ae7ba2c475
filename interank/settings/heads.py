"""How a pointwise head reads a pair: what is told of a trained head beside its weights, and in a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import Settings

Objective = Literal[
    "cross_entropy",
    "binary_cross_entropy",
    "ranknet",
    "ranknet_hard",
    "listnet",
    "lambda",
]
Pooling = Literal["last", "first"]
Legacy = Literal["dear"]
# What DeAR's inference leaves a document of 196 tokens with its prefix.
_DEAR_DOCUMENT = 193


class HeadSettings(Settings):
    """How query and document become one row of tokens, and where of it the score is read.

    The prefixes and lengths are those of RankLLaMA and DeAR.
    """

    query_prefix: str = "query: "
    """Stands before the query and counts as a part of it."""
    document_prefix: str = "document: "
    """Stands before the document and counts as a part of it."""
    max_query_tokens: int = Field(32, ge=4)
    """A longer query loses its end."""
    max_document_tokens: int | None = Field(None, ge=4)
    """A longer document loses its end; null leaves it what room there is."""
    explanation_prefix: str = "explanation: "
    """Stands before an explanation of the pair, where one is read, and counts as a part of it."""
    max_explanation_tokens: int | None = Field(None, ge=4)
    """A longer explanation loses its end, and a document leaves it so much room; null reads none."""
    max_length: int = Field(228, ge=16)
    """Tokens of the pair with what stands around its parts; the document is cut to fit."""
    template: bool = False
    """Whether what stands around the parts is what the tokenizer itself writes around a pair, as encoders have it;
    else it is the token that begins a sequence before each part, or a line's end between them where there is none."""
    pooling: Pooling = "last"
    """`last` reads the last token that is not padding, `first` is what encoders with a head of their own do."""
    end_token: bool = False
    """Whether the end-of-sequence token stands behind the document, where that is not the template's to say."""
    legacy: Legacy | None = None
    """`dear`: as the released DeAR models were trained, padded to `max_length` and read at its last place, padding or
    not. For those models alone: in any other the score would be of padding."""

    @model_validator(mode="after")
    def _legacy_is_as_released(self) -> HeadSettings:
        if self.legacy and (self.pooling != "last" or self.end_token or self.template):
            raise ValueError(
                "legacy: dear reads the last place of rows in a form of their own; leave pooling, end_token and "
                "template out"
            )
        return self

    @model_validator(mode="after")
    def _one_says_what_ends(self) -> HeadSettings:
        if self.end_token and self.template:
            raise ValueError("end_token: the tokenizer's template says what ends a pair; leave one of them out")
        if self.pooling == "first" and not self.template:
            raise ValueError("pooling: first is for encoders, whose template says what comes first; set template: true")
        return self

    @model_validator(mode="after")
    def _an_explanation_has_a_place(self) -> HeadSettings:
        if self.max_explanation_tokens and (self.template or self.legacy):
            raise ValueError(
                "max_explanation_tokens: a template and legacy: dear write two parts, which leaves an explanation no "
                "place; leave them out"
            )
        return self

    @model_validator(mode="after")
    def _a_document_fits(self) -> HeadSettings:
        explained = self.max_explanation_tokens or 0
        if self.max_query_tokens + explained + 8 > self.max_length:
            less = f" and max_explanation_tokens {explained}" if explained else ""
            raise ValueError(
                f"max_length {self.max_length} less max_query_tokens {self.max_query_tokens}{less} leaves no room for "
                "a document; raise the one or lower the other"
            )
        return self

    @property
    def document_tokens(self) -> int:
        """The most that a document gets."""
        return self.max_document_tokens or (_DEAR_DOCUMENT if self.legacy else self.max_length)
