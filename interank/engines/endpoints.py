"""Distributes requests over servers of one model: which gets the next, how long to back off, when to give up."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from interank import plain_data
from interank.engines.answers import Answer, TooLargeError, UnansweredError, answer
from interank.engines.protocol import Failure
from interank.errors import InputError, ModelError
from interank.settings import ServersRecipe

log = logging.getLogger(__name__)

_FIRST_WAIT = 0.5
_LOOK_AGAIN = 0.02
_CHECK_SECONDS = 10.0
_TOO_MANY, _TIMED_OUT = 429, 408
# Asking again will not help: wrong key, no right to the model, no such model or path.
_NO_PATH = frozenset({404, 405})
_NEVER = frozenset({401, 403}) | _NO_PATH


@dataclass(slots=True)
class _Endpoint:
    """A server and its recent record."""

    url: str
    in_flight: int = 0
    failures: int = 0
    """Consecutive failures; requests that were in flight together count once."""
    round: int = 0
    resting_until: float = 0.0
    gone: str = ""
    """Why it gets no more requests; empty while it does."""
    no_path: bool = False
    """Whether the reason is that it has no such path, or no such model."""

    def free(self, now: float) -> bool:
        """Whether it may get a request; after a failure it gets one at a time."""
        return not self.gone and now >= self.resting_until and (not self.failures or not self.in_flight)


class Endpoints:
    """Sends each request to the server with the fewest in flight, and again to the next one if that fails."""

    def __init__(self, settings: ServersRecipe) -> None:
        """Take the servers, and their API key from the environment.

        Raises:
            InputError: The key's variable holds no valid key.
        """
        self.settings = settings
        self._endpoints = [_Endpoint(url.rstrip("/")) for url in settings.urls]
        self.headers = _headers(settings.key)
        self.retry_seconds: float | None = None
        """Seconds after which a server that gets no more requests gets one again; None for never."""
        self._forgiven = False

    def client(self) -> httpx2.AsyncClient:
        """An HTTP client for `send`, which the caller closes."""
        limits = httpx2.Limits(max_connections=self.settings.in_flight + len(self._endpoints))
        return httpx2.AsyncClient(headers=self.headers, limits=limits)

    @property
    def without_path(self) -> bool:
        """Whether every server answered that it has no such path, or no such model."""
        return all(endpoint.no_path for endpoint in self._endpoints)

    async def send(self, client: httpx2.AsyncClient, path: str, body: Mapping[str, Any]) -> dict[str, Any] | Failure:
        """The reply's JSON; `Failure` if the request is at fault.

        Raises:
            ModelError: Every server has failed; the message says how.
        """
        failures = unusable = 0
        while True:
            endpoint = await self._free()
            before = endpoint.round
            endpoint.in_flight += 1
            try:
                response, content = await self._answered(client, f"{endpoint.url}/{path}", body)
            except UnansweredError as error:
                failure, wait = str(error), None
            else:
                if response.is_good and not isinstance(content, _NoJson):
                    endpoint.failures, self._forgiven = 0, False
                    if isinstance(content, dict):
                        return content
                    # The server is up; an unusable answer counts against this request, not against the server.
                    unusable += 1
                    if unusable >= self.settings.attempts:
                        return Failure(f"the server's reply is {content.reason}, at each of {unusable} attempts")
                    continue
                failure, wait = f"{response.status} {_message(response)}", _asked_to_wait(response)
                if response.status in _NEVER:
                    endpoint.gone, endpoint.no_path = failure, response.status in _NO_PATH
                elif 400 <= response.status < 500 and response.status not in (_TOO_MANY, _TIMED_OUT):
                    return Failure(f"the server refused the request: {failure}")
            finally:
                endpoint.in_flight -= 1
            failures += 1
            self._rest(endpoint, before, failure, wait)
            if all(one.gone for one in self._endpoints):
                if await self._is_at_fault(client):
                    return Failure(f"no reply after {failures} attempts, though the server is up: {failure}")
                raise ModelError(self._how_all_failed())

    async def _answered(
        self, client: httpx2.AsyncClient, url: str, body: Mapping[str, Any]
    ) -> tuple[Answer, dict[str, Any] | _Unusable | _NoJson]:
        try:
            response = await answer(client, url, seconds=self.settings.timeout, body=body)
        except TooLargeError as error:
            return Answer(error.status, {}, str(error).encode()), _Unusable(str(error))
        return response, _content(response)

    async def _free(self) -> _Endpoint:
        while True:
            now = time.monotonic()
            self._readmit(now)
            free = [endpoint for endpoint in self._endpoints if endpoint.free(now)]
            if free:
                return min(free, key=lambda endpoint: endpoint.in_flight)
            if all(endpoint.gone for endpoint in self._endpoints):
                raise ModelError(self._how_all_failed())
            await asyncio.sleep(_LOOK_AGAIN)

    def _rest(self, endpoint: _Endpoint, before: int, failure: str, wait: float | None) -> None:
        """Back off from a server that failed a request of the current round; failures of older rounds are no news."""
        if endpoint.round != before or endpoint.gone:
            if endpoint.gone:
                self._leave_alone(endpoint)
            return
        endpoint.round += 1
        endpoint.failures += 1
        backoff = _FIRST_WAIT * 2 ** (endpoint.failures - 1) * random.uniform(0.8, 1.2)
        seconds = min(backoff if wait is None else wait, self.settings.longest_wait)
        endpoint.resting_until = time.monotonic() + seconds
        if endpoint.failures >= self.settings.attempts:
            endpoint.gone = f"{endpoint.failures} failures in a row, the last: {failure}"
            self._leave_alone(endpoint)
        else:
            log.info("%s: %s; no requests to it for %.1f s", endpoint.url, failure, seconds)

    def _leave_alone(self, endpoint: _Endpoint) -> None:
        """Send a server no more requests, or none for some time."""
        if self.retry_seconds is None:
            log.warning("%s gets no more requests: %s", endpoint.url, endpoint.gone)
            return
        endpoint.resting_until = time.monotonic() + self.retry_seconds
        log.warning("%s gets no requests for %.0f s: %s", endpoint.url, self.retry_seconds, endpoint.gone)

    def _readmit(self, now: float) -> None:
        """Let servers that were left alone long enough have a request again, whose failure ends that."""
        for endpoint in self._endpoints:
            if endpoint.gone and self.retry_seconds is not None and now >= endpoint.resting_until:
                endpoint.gone, endpoint.no_path, endpoint.failures = "", False, self.settings.attempts - 1

    async def _is_at_fault(self, client: httpx2.AsyncClient) -> bool:
        """Whether the request was at fault and not the servers; if so, servers that are up get requests again.

        This is granted once between two replies: servers that list their models but answer no request are no use.
        """
        if self._forgiven:
            return False
        for endpoint in self._endpoints:
            if not endpoint.failures:
                continue
            try:
                seconds = min(_CHECK_SECONDS, self.settings.timeout)
                response = await answer(client, f"{endpoint.url}/models", seconds=seconds)
            except (UnansweredError, TooLargeError) as error:
                log.debug("%s: %s", endpoint.url, error)
                continue
            if response.is_good:
                endpoint.gone, endpoint.failures, endpoint.resting_until = "", 0, 0.0
                self._forgiven = True
        return self._forgiven

    def _how_all_failed(self) -> str:
        failures = "; ".join(f"{endpoint.url}: {endpoint.gone}" for endpoint in self._endpoints)
        return (
            f"every server failed ({failures}); check them, or give the URLs of others; a stage keeps the replies it "
            "has, and continues with --resume"
        )


def _headers(variable: str) -> dict[str, str]:
    """The authorization header; the key is stripped, since files of secrets end with a line break."""
    key = os.environ.get(variable, "").strip()
    if not ((key.isascii() and key.isprintable()) or not key):
        # The key is not shown, and not passed to a library, whose errors would show it.
        raise InputError(
            f"the environment variable {variable} holds a character that is not ASCII, or a line break within it, "
            "which no key contains; put the key alone into it"
        )
    return {"Authorization": f"Bearer {key}"} if key else {}


@dataclass(frozen=True, slots=True)
class _Unusable:
    """A body that begins like JSON, and why it cannot be used."""

    reason: str


class _NoJson:
    """A body that does not begin like JSON: something else than the model's server answered, or it is broken."""


def _content(response: Answer) -> dict[str, Any] | _Unusable | _NoJson:
    if not response.content.lstrip().startswith((b"{", b"[")):
        return _NoJson()
    try:
        content = plain_data.parsed(response.content)
    except ValueError as error:
        return _Unusable(f"no JSON that can be read ({error})")
    return content if isinstance(content, dict) else _Unusable("no JSON object")


def _message(response: Answer) -> str:
    """The server's error message as one printable line; if the answer is no JSON, its beginning."""
    body = _content(response)
    content: Any = body if isinstance(body, dict) else {}
    for step in ("error", "message"):
        if isinstance(content, Mapping) and step in content:
            content = content[step]
    text = content if isinstance(content, str) else response.text
    line = " ".join(text.split())[:300]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


def _asked_to_wait(response: Answer) -> float | None:
    """The seconds of a Retry-After header; None without one, or if it is a date."""
    try:
        return max(0.0, plain_data.spelled(response.headers.get("retry-after", "")))
    except ValueError:
        return None
