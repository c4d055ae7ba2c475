"""A server's limits, for one request and for all together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from interank import plain_data
from interank.serving.options import Options
from interank.serving.requests import Refusal, RerankRequest


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a server."""

    body_bytes: int = 32 * 2**20
    """Bytes of a request's body."""
    documents: int = 2048
    """Documents of a request."""
    characters: int = 16 * 2**20
    """Characters of a request's queries and documents together."""
    query_characters: int = 32_768
    """Characters of a query, and of an instruction."""
    explanations: int = 64
    """Explanations of a request."""
    requests: int = 256
    """Requests under way at a time."""
    wait_seconds: float = 60.0
    """The longest expected wait with which a request is still accepted."""
    share: float = 0.5
    """The share of that wait that the requests of one key may fill."""
    timeout: float = 300.0
    """The default and the largest timeout of a request, in seconds."""
    drain_seconds: float = 60.0
    """The time that requests under way have to end when the server shuts down."""
    heartbeat: float = 5.0
    """Seconds between heartbeats in a stream."""

    def check_lists(self, body: Mapping[str, Any], keys: Iterable[str]) -> None:
        """Refuse a body with too many documents before it is read any further, which takes longer than to count them.

        Raises:
            Refusal: The message gives the number and the limit.
        """
        for key in keys:
            count = len(body[key]) if isinstance(body.get(key), list) else 0
            if count > self.documents:
                raise _too_large(f"{count} documents", f"{self.documents}", key)

    def check(self, request: RerankRequest, explained: int) -> None:
        """Refuse a request that is too large; `explained` is the number of documents to explain.

        Raises:
            Refusal: The message gives the size and the limit.
        """
        longest = max(map(len, request.queries))
        if longest > self.query_characters:
            raise _too_large(f"a query of {longest} characters", f"{self.query_characters}", "query")
        instruction = len(request.instruction or "")
        if instruction > self.query_characters:
            raise _too_large(f"an instruction of {instruction} characters", f"{self.query_characters}", "instruction")
        characters = sum(map(len, request.queries)) + sum(
            len(each.text) + len(each.title) for each in request.documents
        )
        if characters > self.characters:
            raise _too_large(f"{characters} characters", f"{self.characters}", "documents")
        if explained > self.explanations:
            raise _too_large(f"{explained} explanations", f"{self.explanations}", "explain")

    def seconds(self, options: Options, header: str | None) -> float:
        """The timeout of a request, from its body or its X-Timeout header.

        Raises:
            Refusal: The header is no number above 0.
        """
        timeout = options.timeout
        if timeout is None and header is not None:
            try:
                timeout = plain_data.spelled(header)
            except ValueError:
                timeout = -1.0
            if not 0 < timeout < float("inf"):
                raise Refusal("invalid", f"found X-Timeout {header!r}; give seconds, as 2.5", field="timeout")
        return self.timeout if timeout is None else min(timeout, self.timeout)


def _too_large(size: str, most: str, field: str) -> Refusal:
    return Refusal("too_large", f"found {size}, and the limit is {most}; send less at once", field=field)
