"""One HTTP request and its whole answer, within a deadline and a size limit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from interank import redaction

# Replies are some thousands of tokens; the longest with their log-probabilities take a few megabytes.
MOST_BYTES = 32 * 2**20
# Only one coding at a time: it expands a byte to about a thousand at most, and nested codings would multiply that.
_CODINGS = ("gzip", "deflate")
# Shorter keys are not redacted: self-hosted servers accept any word as a key, and replies contain words.
_LEAST_KEY = 8


class UnansweredError(Exception):
    """No whole answer came in time; the message says why."""


class TooLargeError(Exception):
    """The answer is larger than MOST_BYTES; the rest was not read."""

    def __init__(self, status: int) -> None:
        self.status = status
        """The answer's HTTP status."""
        super().__init__(f"larger than {MOST_BYTES >> 20} MB")


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_good(self) -> bool:
        """Whether the HTTP status is 200."""
        return self.status == httpx2.codes.OK

    @property
    def text(self) -> str:
        """The content as text, whatever it is."""
        return self.content.decode("utf-8", "replace")


async def answer(
    client: httpx2.AsyncClient, url: str, *, seconds: float, body: Mapping[str, Any] | None = None
) -> Answer:
    """Send a request and read the whole answer: POST with a body, else GET.

    Args:
        client: The client that sends it.
        url: The address.
        seconds: The deadline of the whole answer, however steadily its parts arrive.
        body: The JSON to post.

    Raises:
        UnansweredError: No whole answer came in time.
        TooLargeError: The answer is larger than MOST_BYTES.
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
                raise UnansweredError(f"its answer has the content coding {coding[:40]!r}, which was not requested")
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
    """The content without the API key: some servers repeat it, and answers are stored and logged."""
    key = client.headers.get("Authorization", "").removeprefix("Bearer ")
    if len(key) < _LEAST_KEY:
        return content
    # Latin-1 maps every byte to a character and back, so all other bytes stay as they are.
    return redaction.without(content.decode("latin-1"), key).encode("latin-1")


def answered(url: str, *, seconds: float, headers: Mapping[str, str], body: Mapping[str, Any] | None = None) -> Answer:
    """As `answer`, for a single request with a client of its own.

    Raises:
        UnansweredError: No whole answer came in time.
        TooLargeError: The answer is larger than MOST_BYTES.
    """

    async def request() -> Answer:
        async with httpx2.AsyncClient(headers=headers) as client:
            return await answer(client, url, seconds=seconds, body=body)

    return asyncio.run(request())
