"""Admission control: accepts requests that can be answered in time, and runs each in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

from interank.serving.backlog import Backlog, Ticket, late
from interank.serving.limits import Limits
from interank.serving.requests import CHARACTERS_PER_TOKEN, Refusal, RerankRequest

T = TypeVar("T")
# Estimated prompt tokens around each document, and around the query.
_FRAME, _QUERY = 32, 256


def tokens_of(request: RerankRequest, most_tokens: int) -> float:
    """The estimated number of prompt tokens of a request; each document counts up to the model's limit."""
    documents = sum(
        _FRAME + min(most_tokens, (len(text.text) + len(text.title)) // CHARACTERS_PER_TOKEN)
        for text in request.documents
    )
    return documents + sum(_QUERY + len(query) // CHARACTERS_PER_TOKEN for query in request.queries)


@dataclass(eq=False)
class Entry:
    """An accepted request."""

    ticket: Ticket
    key: str | None
    model: object
    """The model that answers it."""
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Desk:
    """Accepts requests while they can be answered in time, and runs each in a thread."""

    def __init__(self, limits: Limits, backlog: Backlog, *, measures: bool = False) -> None:
        """Start the thread pool; `measures` has throughput measured by answered requests, for lack of a scheduler."""
        self.limits = limits
        self.backlog = backlog
        self.draining = False
        self.entries: set[Entry] = set()
        self._measures = measures
        self._pool = ThreadPoolExecutor(limits.requests, thread_name_prefix="interank-request")

    def enter(
        self, ticket: Ticket, reading: float, writing: float = 0.0, *, key: str | None = None, model: object = None
    ) -> Entry:
        """Accept a request with its estimated numbers of tokens to read and to write.

        Raises:
            Refusal: The server drains, the queue is full, this key's share of it is used up, or the request would be
                late.
        """
        if self.draining:
            raise Refusal("unavailable", "the server is shutting down; use another server", retry_after=1.0)
        wait = self.backlog.seconds(planned for planned in self.backlog.tickets if planned.planned)
        if len(self.entries) >= self.limits.requests:
            raise Refusal("unavailable", "too many requests are under way; retry later", retry_after=max(1.0, wait))
        if wait > self.limits.wait_seconds:
            raise Refusal(
                "unavailable",
                f"requests wait for about {wait:.0f} s, and the limit is {self.limits.wait_seconds:.0f} s; retry later",
                retry_after=max(1.0, wait - self.limits.wait_seconds / 2),
            )
        self._check_share(key, ticket)
        self.backlog.expect(ticket, reading, writing)
        if late := self.backlog.late_by(ticket):
            if self.entries:
                raise Refusal(
                    "unavailable",
                    f"this request, or another because of it, would be about {late:.1f} s late; retry later, or allow "
                    "a longer timeout",
                    retry_after=max(1.0, late),
                )
            # An idle server may have outdated throughput figures, so it accepts the request without a due time.
            ticket.due, ticket.planned = math.inf, False
        entry = Entry(ticket, key, model)
        self.entries.add(entry)
        self.backlog.enter(ticket)
        return entry

    def _check_share(self, key: str | None, ticket: Ticket) -> None:
        if key is None:
            return
        own = self.backlog.seconds(entry.ticket for entry in self.entries if entry.key == key)
        if own > self.limits.share * min(self.limits.wait_seconds, ticket.due - monotonic()):
            raise Refusal(
                "overloaded",
                f"requests of this key wait for about {own:.0f} s already; send fewer at once",
                retry_after=max(1.0, own / 2),
            )

    def leave(self, entry: Entry, *, answered: bool) -> None:
        """Remove a request that has ended."""
        if self._measures:
            self.backlog.measure(read=entry.ticket.read, written=entry.ticket.written)
        self.entries.discard(entry)
        self.backlog.leave(entry.ticket, answered=answered)
        entry.done.set()

    async def run(self, work: Callable[[], T]) -> T:
        """Run the work in a thread of the pool."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def unless_disconnected(
        self, work: Awaitable[T], ticket: Ticket, disconnected: Callable[[], Awaitable[Any]]
    ) -> T | None:
        """The result of the work; None if the client disconnects first, which stops the work at its next step.

        `disconnected` returns once the client has disconnected.

        Raises:
            Refusal: The deadline has passed; the work stops at its next step.
        """
        working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(disconnected())
        try:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait({working, leaving}, timeout=ticket.seconds_left, return_when=first)
            if working.done():
                return working.result()
            if not leaving.done():
                # Work that still waits for a thread is not begun.
                working.cancel()
                raise late()
            ticket.disconnected = True
            await asyncio.wait({working})
            # Retrieve the error, if any, so that asyncio does not log it.
            working.exception()
            return None
        except asyncio.CancelledError:
            ticket.disconnected = True
            raise
        finally:
            leaving.cancel()

    async def wait_for_requests(self, model: object) -> None:
        """Wait until all requests to a model have ended."""
        await asyncio.gather(*(entry.done.wait() for entry in self.entries if entry.model is model))

    async def drain(self) -> None:
        """Stop accepting requests, and wait for those under way, up to the limit."""
        self.draining = True
        waiting = [entry.done.wait() for entry in self.entries]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*waiting), self.limits.drain_seconds)

    def close(self) -> None:
        """Cancel what is left, and shut the threads down."""
        for entry in self.entries:
            entry.ticket.disconnected = True
        self._pool.shutdown(wait=False, cancel_futures=True)
