"""How a pointwise head reads a pair: settings in a recipe, stored beside a trained head's weights."""

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
# The 196 tokens that DeAR's inference gives a document, less its prefix.
_DEAR_DOCUMENT = 193


class HeadSettings(Settings):
    """How query and document become one row of tokens, and from which token the score is read.

    The default prefixes and lengths are those of RankLLaMA and DeAR.
    """

    query_prefix: str = "query: "
    """Stands before the query and counts as a part of it."""
    document_prefix: str = "document: "
    """Stands before the document and counts as a part of it."""
    max_query_tokens: int = Field(32, ge=4)
    """A longer query loses its end."""
    max_document_tokens: int | None = Field(None, ge=4)
    """A longer document loses its end; null gives it all the room that is left."""
    explanation_prefix: str = "explanation: "
    """Stands before an explanation of the pair, where one is read, and counts as a part of it."""
    max_explanation_tokens: int | None = Field(None, ge=4)
    """A longer explanation loses its end; the document leaves this much room for it. Null reads no explanation."""
    max_length: int = Field(228, ge=16)
    """Tokens of the whole row, special tokens included; the document is cut to fit."""
    template: bool = False
    """True puts the tokenizer's own special tokens for a pair around the parts, as encoders expect. False puts the
    beginning-of-sequence token before each part, or a line break between them if the tokenizer has no such token."""
    pooling: Pooling = "last"
    """`last` reads the score from the last token that is not padding; `first` takes it from an encoder's own
    classification head, which reads the first token."""
    end_token: bool = False
    """Whether the end-of-sequence token follows the document; not together with `template`."""
    legacy: Legacy | None = None
    """`dear` reads rows as the released DeAR models were trained: padded to `max_length`, the score read at the last
    position, padding or not. Only for those models; any other would score the padding."""

    @model_validator(mode="after")
    def _legacy_is_as_released(self) -> HeadSettings:
        if self.legacy and (self.pooling != "last" or self.end_token or self.template):
            raise ValueError(
                "legacy: dear sets the form of a row and reads its last position; leave pooling, end_token and "
                "template out"
            )
        return self

    @model_validator(mode="after")
    def _one_says_what_ends(self) -> HeadSettings:
        if self.end_token and self.template:
            raise ValueError("end_token: the tokenizer's template decides how a pair ends; leave one of them out")
        if self.pooling == "first" and not self.template:
            raise ValueError("pooling: first is for encoders, whose template sets the first token; set template: true")
        return self

    @model_validator(mode="after")
    def _an_explanation_has_a_place(self) -> HeadSettings:
        if self.max_explanation_tokens and (self.template or self.legacy):
            raise ValueError(
                "max_explanation_tokens: template: true and legacy: dear have two parts and no place for an "
                "explanation; leave them out"
            )
        return self

    @model_validator(mode="after")
    def _a_document_fits(self) -> HeadSettings:
        explained = self.max_explanation_tokens or 0
        if self.max_query_tokens + explained + 8 > self.max_length:
            less = f" and max_explanation_tokens {explained}" if explained else ""
            raise ValueError(
                f"max_length {self.max_length} less max_query_tokens {self.max_query_tokens}{less} leaves no room for "
                "a document; raise max_length or lower the other"
            )
        return self

    @property
    def document_tokens(self) -> int:
        """The most tokens that a document gets."""
        return self.max_document_tokens or (_DEAR_DOCUMENT if self.legacy else self.max_length)
