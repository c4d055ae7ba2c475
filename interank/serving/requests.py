"""Requests and responses in one form for all dialects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from interank.errors import InterankError

Why = Literal[
    "empty", "invalid", "too_large", "key", "unknown", "method", "overloaded", "unavailable", "late", "failed"
]
"""Why a request is refused: nothing to rank, malformed, beyond a limit, a wrong key, no such model or path, a path
without this method, the client's share is used up, the queue is full or the server drains, past its deadline, or the
model failed."""
CHARACTERS_PER_TOKEN = 4
"""A rough estimate, for texts that are not tokenized yet."""


class Refusal(InterankError):
    """The refusal of a request, with a message for the client."""

    def __init__(self, why: Why, message: str, *, field: str | None = None, retry_after: float | None = None) -> None:
        self.why = why
        self.message = message
        self.field = field
        """The key of the body that is at fault, if any."""
        self.retry_after = retry_after
        """Seconds after which the client may retry, if known."""
        super().__init__(message)


def failure(request_id: str) -> Refusal:
    """The refusal for an unexpected error, whose details stay in the log."""
    return Refusal("failed", f"the server failed; see request {request_id} in its log")


@dataclass(frozen=True, slots=True)
class Text:
    """A client's document, reduced to what the model reads."""

    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """A ranking request: documents to score, and the form of the results."""

    queries: tuple[str, ...]
    """One query for all documents, or one per document."""
    documents: tuple[Text, ...]
    model: str | None = None
    top: int | None = None
    """The number of results to return; None returns all."""
    texts: bool = False
    """True if results include their documents' texts."""
    raw: bool = False
    """True if results have the score s instead of sigmoid(s), in dialects with one number per result."""
    most_tokens: int | None = None
    """The length in tokens to cut documents to, if below the model's own limit."""
    whole: bool = False
    """True if the request is refused when a document would be cut."""
    instruction: str | None = None
    """The instruction to judge documents by."""
    priority: int = 0
    """Requests with lower values come first."""
    spans: bool = False
    """True if results include `relevant_spans`."""
    most_spans: int | None = None
    """The largest number of them for a result."""
    warnings: tuple[str, ...] = ()
    """Warnings about parts of the request that are ignored."""


@dataclass(frozen=True, slots=True)
class Result:
    """A document's score, and its index in the request."""

    index: int
    score: float
    """s = log((p1 + 2 p2) / (2 p0 + p1)) for grades, or a head's logit."""
    document: Text
    truncated: int = 0
    """The number of tokens that were cut off."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """Further keys of the result, as JSON values."""
    placed: float | None = None
    """The relevance of a document that was ordered and not scored, which falls with the rank."""

    @property
    def relevance(self) -> float:
        """The sigmoid of the score, from 0 to 1, in double precision; for grades, half the expected grade."""
        if self.placed is not None:
            return self.placed
        if self.score >= 0:
            return 1 / (1 + math.exp(-self.score))
        odds = math.exp(self.score)
        return odds / (1 + odds)


@dataclass(frozen=True, slots=True)
class RerankResponse:
    """All results of a request, in request order, and their cost."""

    request_id: str
    """The request's id in the log."""
    model: str
    created: int
    """Seconds since 1970."""
    results: tuple[Result, ...]
    tokens: int
    """Tokens read."""
    warnings: tuple[str, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)
    """Further keys of a reply that is a JSON object."""
    about: Mapping[str, object] = field(default_factory=dict)
    """Mode, times and token counts, for `meta.interank`."""


def best_first(results: Sequence[Result], top: int | None) -> list[Result]:
    """The `top` results with the highest scores, best first; ties keep request order."""
    return sorted(results, key=lambda result: -result.score)[:top]


def all_warnings(request: RerankRequest, response: RerankResponse) -> list[str]:
    """The warnings of request and response, and the number of truncated documents."""
    cut = sum(1 for result in response.results if result.truncated)
    cuts = [f"documents cut to the model's length: {cut} of {len(response.results)}"] if cut else []
    return [*request.warnings, *response.warnings, *cuts]
