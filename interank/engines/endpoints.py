"""Servers that answer the same requests: which gets the next, how long one that fails is left alone, when to stop."""

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
from interank.engines.protocol import Failed
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
    """A server and how it has been doing."""

    url: str
    in_flight: int = 0
    failures: int = 0
    """In a row; requests that were under way together count once."""
    round: int = 0
    resting_until: float = 0.0
    gone: str = ""
    """Why it is not asked any more."""
    no_path: bool = False
    """Whether that is because it does not know the path, or the model."""

    def free(self, now: float) -> bool:
        """Whether it may be asked; after a failure one request at a time tries it."""
        return not self.gone and now >= self.resting_until and (not self.failures or not self.in_flight)


class Endpoints:
    """Sends requests to the server with the fewest under way, again elsewhere if that fails."""

    def __init__(self, settings: ServersRecipe) -> None:
        """Take servers, and the key that they are sent from the environment.

        Raises:
            InputError: What is in the key's variable can be none.
        """
        self.settings = settings
        self._endpoints = [_Endpoint(url.rstrip("/")) for url in settings.urls]
        self.headers = _headers(settings.key)
        self._forgiven = False

    def client(self) -> httpx2.AsyncClient:
        """The HTTP client to send with; closed by whoever opens it."""
        limits = httpx2.Limits(max_connections=self.settings.in_flight + len(self._endpoints))
        return httpx2.AsyncClient(headers=self.headers, limits=limits)

    @property
    def without_path(self) -> bool:
        """Whether every server said that there is no such path, or no such model."""
        return all(endpoint.no_path for endpoint in self._endpoints)

    async def send(self, client: httpx2.AsyncClient, path: str, body: Mapping[str, Any]) -> dict[str, Any] | Failed:
        """The reply's JSON; `Failed` if the request is at fault.

        Raises:
            ModelError: Every server has failed; says how each did.
        """
        failures = unusable = 0
        while True:
            endpoint = await self._free()
            before = endpoint.round
            endpoint.in_flight += 1
            try:
                response, content = await self._answered(client, f"{endpoint.url}/{path}", body)
            except UnansweredError as error:
                told, wait = str(error), None
            else:
                if response.is_good and not isinstance(content, _NoJson):
                    endpoint.failures, self._forgiven = 0, False
                    if isinstance(content, dict):
                        return content
                    # The server is there and answers; that its answer is of no use is for this request to bear.
                    unusable += 1
                    if unusable >= self.settings.attempts:
                        return Failed(f"the server's reply is {content.reason}, though asked for {unusable} times")
                    continue
                told, wait = f"{response.status} {_message(response)}", _asked_to_wait(response)
                if response.status in _NEVER:
                    endpoint.gone, endpoint.no_path = told, response.status in _NO_PATH
                elif 400 <= response.status < 500 and response.status not in (_TOO_MANY, _TIMED_OUT):
                    return Failed(f"the server refused the request: {told}")
            finally:
                endpoint.in_flight -= 1
            failures += 1
            self._rest(endpoint, before, told, wait)
            if all(one.gone for one in self._endpoints):
                if await self._is_at_fault(client):
                    return Failed(f"no reply after {failures} attempts, though the server is there: {told}")
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
            free = [endpoint for endpoint in self._endpoints if endpoint.free(now)]
            if free:
                return min(free, key=lambda endpoint: endpoint.in_flight)
            if all(endpoint.gone for endpoint in self._endpoints):
                raise ModelError(self._how_all_failed())
            await asyncio.sleep(_LOOK_AGAIN)

    def _rest(self, endpoint: _Endpoint, before: int, told: str, wait: float | None) -> None:
        """Leave a server alone that failed a request of the present round; older ones only tell the same again."""
        if endpoint.round != before or endpoint.gone:
            if endpoint.gone:
                log.warning("%s is left: %s", endpoint.url, endpoint.gone)
            return
        endpoint.round += 1
        endpoint.failures += 1
        backoff = _FIRST_WAIT * 2 ** (endpoint.failures - 1) * random.uniform(0.8, 1.2)
        seconds = min(backoff if wait is None else wait, self.settings.longest_wait)
        endpoint.resting_until = time.monotonic() + seconds
        if endpoint.failures >= self.settings.attempts:
            endpoint.gone = f"{endpoint.failures} failures in a row, at last: {told}"
            log.warning("%s is left after %s", endpoint.url, endpoint.gone)
        else:
            log.info("%s: %s; left alone for %.1f s", endpoint.url, told, seconds)

    async def _is_at_fault(self, client: httpx2.AsyncClient) -> bool:
        """Whether the request, and not the servers, was at fault; if so, those that are there are asked again.

        Granted once between two replies: servers that list their models but answer nothing are no use.
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
        told = "; ".join(f"{endpoint.url}: {endpoint.gone}" for endpoint in self._endpoints)
        return (
            f"every server failed ({told}); see to them, or give others by their URLs; what a stage was told so far is "
            "kept, and it goes on with --resume"
        )


def _headers(variable: str) -> dict[str, str]:
    """What tells servers who asks; files of secrets end in a line's end, which is not of the key."""
    key = os.environ.get(variable, "").strip()
    if not ((key.isascii() and key.isprintable()) or not key):
        # Not shown, and no library gets it, whose errors would show it.
        raise InputError(
            f"the environment variable {variable} holds a sign that is no ASCII, or a line's end amid it, which a key "
            "cannot; put the key alone into it"
        )
    return {"Authorization": f"Bearer {key}"} if key else {}


@dataclass(frozen=True, slots=True)
class _Unusable:
    """A body that was meant as JSON, and what is wrong with it."""

    reason: str


class _NoJson:
    """A body that was not meant as JSON: it is not the model's server that answers, or it is broken."""


def _content(response: Answer) -> dict[str, Any] | _Unusable | _NoJson:
    if not response.content.lstrip().startswith((b"{", b"[")):
        return _NoJson()
    try:
        content = plain_data.parsed(response.content)
    except ValueError as error:
        return _Unusable(f"no JSON that can be read ({error})")
    return content if isinstance(content, dict) else _Unusable("no JSON object")


def _message(response: Answer) -> str:
    """What the server says of an error, in a line that can be printed; of an answer that is no JSON, its beginning."""
    found = _content(response)
    content: Any = found if isinstance(found, dict) else {}
    for step in ("error", "message"):
        if isinstance(content, Mapping) and step in content:
            content = content[step]
    text = content if isinstance(content, str) else response.text
    line = " ".join(text.split())[:300]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


def _asked_to_wait(response: Answer) -> float | None:
    """The seconds of a Retry-After, if there is one in seconds."""
    try:
        return max(0.0, plain_data.spelled(response.headers.get("retry-after", "")))
    except ValueError:
        return None
