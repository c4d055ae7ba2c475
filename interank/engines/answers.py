"""A server's answer to one request: whole within a time and a size, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from interank import redaction

# Replies are some thousands of tokens; the longest with their log-probabilities take a few megabytes.
MOST_BYTES = 32 * 2**20
# One coding, which gives at most a thousand bytes for one; of codings within codings each multiplies that.
_CODINGS = ("gzip", "deflate")
# Servers of one's own take any word for a key, and words stand in replies.
_LEAST_KEY = 8


class UnansweredError(Exception):
    """No answer came, or none whole in its time; says why."""


class TooLargeError(Exception):
    """The answer is larger than any that is asked for; what follows was not read."""

    def __init__(self, status: int) -> None:
        self.status = status
        """Under which it came."""
        super().__init__(f"larger than {MOST_BYTES >> 20} MB")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said, read to its end."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_good(self) -> bool:
        """Whether the server did what it was asked."""
        return self.status == httpx2.codes.OK

    @property
    def text(self) -> str:
        """The content as text, whatever it is."""
        return self.content.decode("utf-8", "replace")


async def answer(
    client: httpx2.AsyncClient, url: str, *, seconds: float, body: Mapping[str, Any] | None = None
) -> Answer:
    """What a server answers, to a body in JSON or to a mere question.

    Args:
        client: Sends it.
        url: The address.
        seconds: Until the whole answer has to be there, however often a part of it comes.
        body: What is posted; None gets.

    Raises:
        UnansweredError: It did not come whole.
        TooLargeError: It does not end in MOST_BYTES.
    """
    headers = {"Accept-Encoding": ", ".join(_CODINGS)}
    method = "GET" if body is None else "POST"
    try:
        async with (
            asyncio.timeout(seconds),
            client.stream(method, url, json=body, headers=headers, timeout=seconds) as response,
        ):
            coding = response.headers.get("Content-Encoding", "identity").strip().lower()
            if coding not in ("identity", "", *_CODINGS):
                raise UnansweredError(f"its answer is in the coding {coding[:40]!r}, which it was not asked for")
            read = bytearray()
            async for part in response.aiter_bytes():
                read += part
                if len(read) > MOST_BYTES:
                    raise TooLargeError(response.status_code)
            return Answer(response.status_code, dict(response.headers), _without_key(bytes(read), client))
    except TimeoutError:
        raise UnansweredError(f"no whole answer within {seconds:g} seconds") from None
    except httpx2.RequestError as error:
        raise UnansweredError(f"{type(error).__name__} {error}".strip()) from None


def _without_key(content: bytes, client: httpx2.AsyncClient) -> bytes:
    """What a server says, less the key that it was sent: some repeat it, and replies and refusals are written down."""
    key = client.headers.get("Authorization", "").removeprefix("Bearer ")
    if len(key) < _LEAST_KEY:
        return content
    # Bytes as characters, and back: whatever else is in there stays as it is.
    return redaction.without(content.decode("latin-1"), key).encode("latin-1")


def answered(url: str, *, seconds: float, headers: Mapping[str, str], body: Mapping[str, Any] | None = None) -> Answer:
    """`answer`, of a single request by a client of its own.

    Raises:
        UnansweredError: It did not come whole.
        TooLargeError: It does not end in MOST_BYTES.
    """

    async def asked() -> Answer:
        async with httpx2.AsyncClient(headers=headers) as client:
            return await answer(client, url, seconds=seconds, body=body)

    return asyncio.run(asked())
