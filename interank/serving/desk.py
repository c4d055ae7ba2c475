"""Takes requests in as far as they can be answered in time, and gives each a thread until it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

from interank.serving.backlog import Backlog, Ticket
from interank.serving.limits import Limits
from interank.serving.requests import CHARACTERS_PER_TOKEN, Refusal, RerankRequest

T = TypeVar("T")
# What stands around each document, and around the query.
_FRAME, _QUERY = 32, 256


def tokens_of(asked: RerankRequest, most_tokens: int) -> float:
    """About how many tokens of a request are read; of each document no more than the model reads."""
    documents = sum(
        _FRAME + min(most_tokens, (len(text.text) + len(text.title)) // CHARACTERS_PER_TOKEN)
        for text in asked.documents
    )
    return documents + sum(_QUERY + len(query) // CHARACTERS_PER_TOKEN for query in asked.queries)


@dataclass(eq=False)
class Entry:
    """A request that was let in."""

    ticket: Ticket
    key: str | None
    model: object
    """What answers it."""
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Desk:
    """Lets requests in while they can be answered in time, and has each answered in a thread."""

    def __init__(self, limits: Limits, backlog: Backlog, *, measures: bool = False) -> None:
        """Begin; it measures the pace itself, by what was answered, where nobody tells the backlog of steps."""
        self.limits = limits
        self.backlog = backlog
        self.draining = False
        self.entries: set[Entry] = set()
        self._measures = measures
        self._pool = ThreadPoolExecutor(limits.requests, thread_name_prefix="interank-request")

    def enter(
        self, ticket: Ticket, reading: float, writing: float = 0.0, *, key: str | None = None, model: object = None
    ) -> Entry:
        """Let a request in for which about so many tokens are read and written, and which `model` answers.

        Raises:
            Refusal: The server drains, too much waits already, this key's own share does, or it would be late.
        """
        if self.draining:
            raise Refusal("unavailable", "the server is about to end; ask another", retry_after=1.0)
        wait = self.backlog.seconds(self.backlog.tickets)
        if len(self.entries) >= self.limits.requests:
            raise Refusal("unavailable", "too many requests are under way", retry_after=max(1.0, wait))
        if wait > self.limits.wait_seconds:
            raise Refusal(
                "unavailable",
                f"requests wait for about {wait:.0f} s, and at the most {self.limits.wait_seconds:.0f} s are taken on",
                retry_after=max(1.0, wait - self.limits.wait_seconds / 2),
            )
        self._check_share(key, ticket)
        self.backlog.expect(ticket, reading, writing)
        if late := self.backlog.late_by(ticket):
            if self.entries:
                raise Refusal(
                    "unavailable",
                    f"what is under way leaves about {late:.1f} s too little; come later, or give it more time",
                    retry_after=max(1.0, late),
                )
            # The pace may have been another than it is now, which is only found out by trying.
            ticket.due = math.inf
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
                f"requests of this key wait for about {own:.0f} s already; send fewer at a time",
                retry_after=max(1.0, own / 2),
            )

    def leave(self, entry: Entry, *, answered: bool) -> None:
        """A request is done with."""
        if self._measures:
            self.backlog.measured(read=entry.ticket.read, written=entry.ticket.written)
        self.entries.discard(entry)
        self.backlog.leave(entry.ticket, answered=answered)
        entry.done.set()

    async def run(self, work: Callable[[], T]) -> T:
        """Do it in a thread of a request's own."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def unless_left(self, work: Awaitable[T], ticket: Ticket, left: Callable[[], Awaitable[Any]]) -> T | None:
        """What the work gives; None where `left` is heard of first, which also stops it at its next step."""
        working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(left())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            ticket.left = True
            await asyncio.wait({working})
            # Whatever came of it, nobody is there to hear it.
            working.exception()
            return None
        except asyncio.CancelledError:
            ticket.left = True
            raise
        finally:
            leaving.cancel()

    async def done_with(self, model: object) -> None:
        """Wait for the requests under way that a model answers."""
        await asyncio.gather(*(entry.done.wait() for entry in self.entries if entry.model is model))

    async def drain(self) -> None:
        """Take nothing more, and wait for what is under way, as long as there is time for it."""
        self.draining = True
        waiting = [entry.done.wait() for entry in self.entries]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*waiting), self.limits.drain_seconds)

    def close(self) -> None:
        """Let go of the threads."""
        for entry in self.entries:
            entry.ticket.left = True
        self._pool.shutdown(wait=False, cancel_futures=True)
