"""The dialects: how each is recognised, how its requests are read, and how replies and errors are written."""

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
    "method": 405,
    "overloaded": 429,
    "unavailable": 503,
    "late": 504,
    "failed": 500,
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """The API of one kind of client."""

    name: str
    """The name, which is also a path prefix that selects the dialect regardless of the body."""
    body: type[Body]
    reply: Callable[[RerankRequest, RerankResponse], Json]
    paths: tuple[str, ...]
    """The paths to which its clients post, valid behind the prefix."""
    own: bool = False
    """True if the paths select this dialect without the prefix too."""
    told_by: Callable[[Collection[str]], bool] = lambda keys: False
    """On a path that dialects share, True if a body with these keys belongs to this dialect."""
    error: Callable[[Refusal, int], Json] = replies.any_error
    statuses: Mapping[Why, int] = field(default_factory=dict)
    """HTTP statuses that differ from the usual ones."""
    texts: bool = False
    """True if results include texts by default."""

    def status(self, why: Why) -> int:
        """The HTTP status of a refusal."""
        return self.statuses.get(why, _STATUSES[why])


_RERANK = ("/rerank", "/v1/rerank", "/v2/rerank", "/v1/v2/rerank")

SUPERSET = Dialect("cohere", Rerank, replies.superset, _RERANK)
"""The dialect of a body that no other dialect recognises."""

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
"""All dialects, in the order in which they are tried on a body."""


def dialect_of(path: str, keys: Collection[str]) -> Dialect:
    """The dialect of a client that posts a body with these keys to this path.

    Raises:
        Refusal: The path does not exist.
    """
    for dialect in DIALECTS:
        places = [f"/{dialect.name}{place}" for place in dialect.paths] + list(dialect.paths) * dialect.own
        if any(_is_at(path, place) for place in places):
            return dialect
    if path not in _RERANK:
        raise Refusal("unknown", f"there is no path {path}; post to /v2/rerank, /rerank, /score or /v1/ranking")
    dialect = next((each for each in DIALECTS if each.told_by(keys)), SUPERSET)
    # vLLM's clients post to /rerank and expect each result's document unasked; Cohere's never post there.
    return replace(dialect, texts=True) if dialect is SUPERSET and path == "/rerank" else dialect


def _is_at(path: str, place: str) -> bool:
    before, model, after = place.partition("{model}")
    if not model:
        return path == place
    return path.startswith(before) and path.endswith(after) and len(path) > len(before) + len(after)


def read(dialect: Dialect, body: Mapping[str, Any]) -> RerankRequest:
    """Read a body as a request.

    Raises:
        Refusal: A key has the wrong type, there is nothing to rank, or a document has no text.
    """
    try:
        content = dialect.body.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # For a union, pydantic adds the types that it tried to the location; drop them.
        place = ".".join(str(part) for part in first["loc"] if str(part) != "str" and "[" not in str(part))
        raise Refusal("invalid", f"found a body that cannot be read at {place}: {first['msg']}", field=place) from error
    request = content.to_request()
    default = body.get("return_documents") is None
    return replace(request, texts=True) if dialect.texts and default else request


def refused(dialect: Dialect, refusal: Refusal) -> tuple[int, dict[str, str], Json | None]:
    """The status, headers and body of a refusal in a dialect; TEI has no body for a wrong key."""
    status = dialect.status(refusal.why)
    wait = refusal.retry_after
    # The header has whole seconds, rounded up here.
    headers = {} if wait is None else {"Retry-After": str(max(1, -int(-wait // 1)))}
    if dialect.name == "tei" and refusal.why == "key":
        return status, headers, None
    return status, headers, dialect.error(refusal, status)
