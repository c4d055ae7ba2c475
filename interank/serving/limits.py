"""What a server takes at the most, of one request and of all together."""

from __future__ import annotations

from dataclasses import dataclass

from interank import plain_data
from interank.serving.options import Options
from interank.serving.requests import Refusal, RerankRequest


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of requests; `None` is none."""

    body_bytes: int = 32 * 2**20
    documents: int = 2048
    characters: int = 16 * 2**20
    """Of queries and documents together."""
    query_characters: int = 32_768
    explanations: int = 64
    """Of one request."""
    requests: int = 256
    """Under way at a time."""
    wait_seconds: float = 60.0
    """How long a request may have to wait for others before it is refused instead."""
    share: float = 0.5
    """Of that wait, what one key may fill where there are keys."""
    timeout: float = 300.0
    """Seconds of a request that says none, and the most that one may say."""
    drain_seconds: float = 60.0
    """What is under way has so long to end when the server is told to."""
    heartbeat: float = 5.0
    """Seconds between signs of life in a stream."""

    def check(self, asked: RerankRequest, explained: int) -> None:
        """Refuse what is too large; `explained` is how many documents are explained.

        Raises:
            Refusal: Says what, and how much is taken.
        """
        count = len(asked.documents)
        if count > self.documents:
            raise _too_large(f"{count} documents", f"{self.documents}", "documents")
        longest = max(map(len, asked.queries))
        if longest > self.query_characters:
            raise _too_large(f"a query of {longest} characters", f"{self.query_characters}", "query")
        characters = sum(map(len, asked.queries)) + sum(len(each.text) + len(each.title) for each in asked.documents)
        if characters > self.characters:
            raise _too_large(f"{characters} characters", f"{self.characters}", "documents")
        if explained > self.explanations:
            raise _too_large(f"{explained} explanations", f"{self.explanations}", "explain")

    def seconds(self, options: Options, header: str | None) -> float:
        """How long a request may take.

        Raises:
            Refusal: Its header says no number above 0.
        """
        given = options.timeout
        if given is None and header is not None:
            try:
                given = plain_data.spelled(header)
            except ValueError:
                given = -1.0
            if not 0 < given < float("inf"):
                raise Refusal("invalid", f"found X-Timeout {header!r}; give seconds, as 2.5", field="timeout")
        return self.timeout if given is None else min(given, self.timeout)


def _too_large(found: str, most: str, field: str) -> Refusal:
    return Refusal("too_large", f"found {found}, and {most} are taken at the most; send less at a time", field=field)
