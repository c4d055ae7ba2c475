"""Takes requests in as far as they can be answered in time, and gives each a thread until it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from interank.serving.asked import CHARACTERS_PER_TOKEN, Asked, Refusal
from interank.serving.limits import Limits
from interank.serving.schedule import Ticket

T = TypeVar("T")
# What stands around each document, and around the query.
_FRAME, _QUERY = 32, 256
# How much longer a token takes to be written than to be read.
_WRITTEN = 16
# Half of what is known of the pace was measured in the last so many busy seconds.
_HALF = 20.0
# How much longer than by the pace so far an answer is taken to need.
_SPARE = 1.25
# Others are refused for the sake of what needs less than this part of its timeout by itself.
_HELD = 0.5


def load_of(asked: Asked, most_tokens: int, written: int) -> float:
    """About how many tokens a request takes; of each document no more than the model reads."""
    documents = sum(
        _FRAME + min(most_tokens, (len(text.text) + len(text.title)) // CHARACTERS_PER_TOKEN)
        for text in asked.documents
    )
    queries = sum(_QUERY + len(query) // CHARACTERS_PER_TOKEN for query in asked.queries)
    return documents + queries + _WRITTEN * written


def ends(seconds: Sequence[float]) -> list[float]:
    """When each is done that takes so long alone, where all of them go on evenly."""
    found, passed = [0.0] * len(seconds), 0.0
    for count, place in enumerate(sorted(range(len(seconds)), key=seconds.__getitem__)):
        found[place] = passed + seconds[place] * (len(seconds) - count)
        passed += seconds[place]
    return found


@dataclass(eq=False)
class Entry:
    """A request that was let in."""

    ticket: Ticket
    load: float
    key: str | None
    model: object
    """What answers it."""
    timeout: float = math.inf
    """Seconds that it may take."""
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Desk:
    """All requests under way, how fast they are answered, and whether one more can be."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.draining = False
        self.entries: set[Entry] = set()
        self._pool = ThreadPoolExecutor(limits.requests, thread_name_prefix="interank-request")
        self._answered, self._read, self._busy = 0.0, 0.0, 0.0
        self._since: float | None = None

    @property
    def load(self) -> float:
        """Tokens that are still to be computed, about."""
        return sum(self._left(entry) for entry in self.entries)

    def _left(self, entry: Entry) -> float:
        # Where texts have more tokens than they were taken to have, what was read is so much less of it.
        more = max(1.0, self._read / self._answered) if self._answered > 0 else 1.0
        return max(0.0, entry.load - entry.ticket.tokens / more)

    @property
    def pace(self) -> float | None:
        """Tokens in a second of those that were answered of late; None where nothing was."""
        return self._answered / self._busy if self._busy > 0 and self._answered > 0 else None

    def measured(self, load: float, seconds: float, read: int = 0) -> None:
        """Take into the pace what so many tokens took, and how many there were in truth."""
        kept = 0.5 ** (seconds / _HALF)
        self._read = self._read * kept + read
        self._answered, self._busy = self._answered * kept + load, self._busy * kept + seconds

    def enter(self, ticket: Ticket, load: float, key: str | None, timeout: float, model: object = None) -> Entry:
        """Let a request in, which `model` answers.

        Raises:
            Refusal: The server drains, too much waits already, or this key's own share does.
        """
        if self.draining:
            raise Refusal("unavailable", "the server is about to end; ask another", retry_after=1.0)
        if len(self.entries) >= self.limits.requests:
            raise Refusal("unavailable", "too many requests are under way", retry_after=self._wait(load) or 1.0)
        wait = self._wait(0.0)
        if self.entries and wait is not None and wait > self.limits.wait_seconds:
            raise Refusal(
                "unavailable",
                f"requests wait for about {wait:.0f} s, and at the most {self.limits.wait_seconds:.0f} s are taken on",
                retry_after=max(1.0, wait - self.limits.wait_seconds / 2),
            )
        self._check_time(load, timeout)
        self._check_share(key)
        entry = Entry(ticket, load, key, model, timeout)
        if not self.entries:
            self._since = time.monotonic()
        self.entries.add(entry)
        return entry

    def _check_time(self, load: float, timeout: float) -> None:
        """Refuse what would come late, or make late what was taken on; requests share the pace evenly."""
        pace, entries = self.pace, list(self.entries)
        if pace is None or not entries:
            return
        left = [self._left(entry) / pace for entry in entries]
        *others, own = ends([*left, load / pace])
        if own * _SPARE > timeout:
            raise Refusal(
                "unavailable",
                f"this would be answered in about {own:.1f} s, beside what is under way, and its timeout is "
                f"{timeout:.1f} s",
                retry_after=max(1.0, own - timeout),
            )
        now = time.monotonic()
        for entry, before, after in zip(entries, ends(left), others, strict=True):
            room = (entry.ticket.deadline or math.inf) - now
            if before <= room < after * _SPARE and entry.load / pace < _HELD * entry.timeout:
                raise Refusal("unavailable", "what is under way would be late beside one more", retry_after=1.0)

    def _check_share(self, key: str | None) -> None:
        if key is None or self.pace is None:
            return
        own = sum(self._left(each) for each in self.entries if each.key == key) / self.pace
        if own > self.limits.share * self.limits.wait_seconds:
            raise Refusal(
                "overloaded",
                f"requests of this key wait for about {own:.0f} s already; send fewer at a time",
                retry_after=max(1.0, own / 2),
            )

    def _wait(self, load: float) -> float | None:
        return None if self.pace is None else (self.load + load) / self.pace

    def leave(self, entry: Entry, *, answered: bool) -> None:
        """A request is done with."""
        now = time.monotonic()
        self.entries.discard(entry)
        entry.done.set()
        if self._since is not None:
            read = entry.ticket.tokens
            self.measured(entry.load if answered else float(read), now - self._since, read)
            self._since = now if self.entries else None

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
