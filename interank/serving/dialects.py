"""The dialects: how each is told apart, how its requests are read, and how replies and refusals are written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from interank.serving import replies
from interank.serving.bodies import Body, NimRanking, Rerank, Score, TeiRerank
from interank.serving.replies import Json
from interank.serving.requests import Refusal, RerankRequest, RerankResponse, Why

_STATUSES: Mapping[Why, int] = {
    "empty": 422,
    "invalid": 422,
    "too_large": 413,
    "key": 401,
    "unknown": 404,
    "overloaded": 429,
    "unavailable": 503,
    "late": 504,
    "failed": 500,
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """One row of the table."""

    name: str
    """Also the path's first part that chooses it where a body cannot."""
    body: type[Body]
    reply: Callable[[RerankRequest, RerankResponse], Json]
    paths: tuple[str, ...]
    """Where it alone is spoken, or, behind its prefix, where its clients post."""
    own: bool = False
    """Whether those paths are its own without the prefix too."""
    told_by: Callable[[Collection[str]], bool] = lambda keys: False
    """Whether a body with these keys is its own, on a path that several share."""
    error: Callable[[Refusal, int], Json] = replies.any_error
    statuses: Mapping[Why, int] = field(default_factory=dict)
    """Where they differ from the usual ones."""
    texts: bool = False
    """Whether results bring texts where the request does not say."""

    def status(self, why: Why) -> int:
        """The HTTP status of a refusal."""
        return self.statuses.get(why, _STATUSES[why])


_RERANK = ("/rerank", "/v1/rerank", "/v2/rerank", "/v1/v2/rerank")

SUPERSET = Dialect("cohere", Rerank, replies.superset, _RERANK)
"""What a body that is no other's is taken for."""

DIALECTS = (
    Dialect(
        "nim",
        NimRanking,
        replies.nim,
        ("/v1/ranking", "/v1/retrieval/{model}/reranking"),
        own=True,
        told_by=lambda keys: "passages" in keys,
    ),
    Dialect(
        "tei",
        TeiRerank,
        replies.tei,
        ("/rerank",),
        told_by=lambda keys: "texts" in keys,
        error=replies.tei_error,
        statuses={"empty": 400, "failed": 424},
    ),
    Dialect(
        "infinity",
        Rerank,
        replies.infinity,
        ("/rerank", "/v1/rerank"),
        told_by=lambda keys: "raw_scores" in keys and "documents" in keys,
        error=replies.infinity_error,
    ),
    Dialect(
        "voyage",
        Rerank,
        replies.voyage,
        ("/v1/rerank", "/rerank"),
        told_by=lambda keys: "top_k" in keys or "truncation" in keys,
        error=replies.voyage_error,
    ),
    Dialect("score", Score, replies.scores, ("/score", "/v1/score", "/vllm/score", "/vllm/v1/score"), own=True),
    Dialect("sglang", Rerank, replies.sglang, ("/v1/rerank",), texts=True),
    Dialect("vllm", Rerank, replies.superset, _RERANK, texts=True),
    Dialect("jina", Rerank, replies.superset, _RERANK),
    Dialect("litellm", Rerank, replies.superset, _RERANK),
    SUPERSET,
)
"""In the order in which bodies are told apart."""


def dialect_of(path: str, keys: Collection[str]) -> Dialect:
    """What a client speaks that posts a body with these keys to this path.

    Raises:
        Refusal: Nothing is there.
    """
    for dialect in DIALECTS:
        places = [f"/{dialect.name}{place}" for place in dialect.paths] + list(dialect.paths) * dialect.own
        if any(_is_at(path, place) for place in places):
            return dialect
    if path not in _RERANK:
        raise Refusal("unknown", f"found nothing at {path}; post to /v2/rerank, /rerank, /score or /v1/ranking")
    told = next((dialect for dialect in DIALECTS if dialect.told_by(keys)), SUPERSET)
    # vLLM's clients, which read each result's document without asking for it, post to /rerank; Cohere's never do.
    return replace(told, texts=True) if told is SUPERSET and path == "/rerank" else told


def _is_at(path: str, place: str) -> bool:
    before, model, after = place.partition("{model}")
    if not model:
        return path == place
    return path.startswith(before) and path.endswith(after) and len(path) > len(before) + len(after)


def read(dialect: Dialect, body: Mapping[str, Any]) -> RerankRequest:
    """A body as what it asks for.

    Raises:
        Refusal: A key has another type than its dialect's, there is nothing to rank, or a document has no text.
    """
    try:
        found = dialect.body.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # Of a union pydantic names the types that it tried, which are no keys.
        place = ".".join(str(part) for part in first["loc"] if str(part) != "str" and "[" not in str(part))
        raise Refusal("invalid", f"found a body that cannot be read at {place}: {first['msg']}", field=place) from error
    asked = found.asked()
    unsaid = body.get("return_documents") is None
    return replace(asked, texts=True) if dialect.texts and unsaid else asked


def refused(dialect: Dialect, refusal: Refusal) -> tuple[int, dict[str, str], Json | None]:
    """The status, headers and body that tell a dialect's client of a refusal; TEI's have no body for a wrong key."""
    status = dialect.status(refusal.why)
    wait = refusal.retry_after
    # Whole seconds, rounded up, are all that the header takes.
    headers = {} if wait is None else {"Retry-After": str(max(1, -int(-wait // 1)))}
    if dialect.name == "tei" and refusal.why == "key":
        return status, headers, None
    return status, headers, dialect.error(refusal, status)
