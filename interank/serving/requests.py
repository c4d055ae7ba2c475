"""What any client asks for and is given, whatever dialect it speaks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from interank.errors import InterankError

Why = Literal["empty", "invalid", "too_large", "key", "unknown", "overloaded", "unavailable", "late", "failed"]
"""Why a request is refused: nothing to rank, malformed, beyond a limit, a wrong key, no such model or path, this
client's share is used up, the queue is full or the server drains, past its deadline, or the model failed."""
CHARACTERS_PER_TOKEN = 4
"""About, where nobody has counted."""


class Refusal(InterankError):
    """A request that is not answered, in words for its sender."""

    def __init__(self, why: Why, message: str, *, field: str | None = None, retry_after: float | None = None) -> None:
        self.why = why
        self.message = message
        self.field = field
        """The key of the body that is at fault, where it is one."""
        self.retry_after = retry_after
        """Seconds after which it may be tried again, where that is known."""
        super().__init__(message)


def failure(request: str) -> Refusal:
    """What is told of a fault that has no words for the client."""
    return Refusal("failed", f"the server failed; its log says of request {request} how")


@dataclass(frozen=True, slots=True)
class Text:
    """A document as a client gave it, read down to what a model sees."""

    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """One request: documents to score, and how much of that to tell."""

    queries: tuple[str, ...]
    """One for all documents, or one for each."""
    documents: tuple[Text, ...]
    model: str | None = None
    top: int | None = None
    """How many results to tell; None for all."""
    texts: bool = False
    """Whether results bring their documents' texts."""
    raw: bool = False
    """Whether a dialect that tells one number tells s instead of sigmoid(s)."""
    most_tokens: int | None = None
    """Tokens that a document is cut to, where that is less than the model's own limit."""
    whole: bool = False
    """Whether to refuse rather than cut."""
    instruction: str | None = None
    """What documents are judged by."""
    priority: int = 0
    """Least first."""
    spans: bool = False
    warnings: tuple[str, ...] = ()
    """What of the request is not heeded."""


@dataclass(frozen=True, slots=True)
class Result:
    """A document's score, and its place in the request."""

    index: int
    score: float
    """s = log((p1 + 2 p2) / (2 p0 + p1)), or a head's number."""
    document: Text
    truncated: int = 0
    """Tokens that were cut off."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """More keys of a result, as JSON takes them."""
    placed: float | None = None
    """What is told as relevance of a document that was ordered and not scored: it falls with the rank."""

    @property
    def relevance(self) -> float:
        """The score from 0 to 1, in double precision; of a judge's grades, half the grade that is expected."""
        if self.placed is not None:
            return self.placed
        if self.score >= 0:
            return 1 / (1 + math.exp(-self.score))
        odds = math.exp(self.score)
        return odds / (1 + odds)


@dataclass(frozen=True, slots=True)
class RerankResponse:
    """All results of a request, in request order, and what they took."""

    request: str
    """The id under which the logs have it."""
    model: str
    created: int
    """Seconds since 1970."""
    results: tuple[Result, ...]
    tokens: int
    warnings: tuple[str, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)
    """More keys of a reply that is an object."""
    about: Mapping[str, object] = field(default_factory=dict)
    """How it came about, for `meta.interank`."""


def best_first(results: Sequence[Result], top: int | None) -> list[Result]:
    """The first `top` results by falling score; equal ones stay in request order."""
    return sorted(results, key=lambda result: -result.score)[:top]


def all_warnings(asked: RerankRequest, answered: RerankResponse) -> list[str]:
    """What was not heeded, and how many documents were cut: nothing is cut in silence."""
    cut = sum(1 for result in answered.results if result.truncated)
    told = [f"documents cut to the model's length: {cut} of {len(answered.results)}"] if cut else []
    return [*asked.warnings, *answered.warnings, *told]
