"""Requests under way: what is still to be computed for each, how fast that goes, and so what would be late."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

from interank.errors import InterankError
from interank.serving.requests import Refusal

# Of a request's time, what is kept for what goes slower than it did when the request was taken on.
_SPARE = 0.5
# Half of what is known of the pace was measured in the last so many busy seconds.
_HALF_SECONDS = 5.0
# Half of what is known of how far requests were what they were taken for, in the last so many tokens of theirs.
_HALF_TOKENS = 20_000.0
# How much longer a token takes to be written than to be read, until one was written.
_WRITTEN = 16


class LeftError(InterankError):
    """The client of a request has gone, so that nobody reads its answer."""


class Ticket:
    """A request under way: how far it got, and whether anybody still waits for it."""

    def __init__(self, *, seconds: float = math.inf, priority: int = 0) -> None:
        """It may take so many seconds from now; of priorities the least comes first."""
        self.deadline = monotonic() + seconds
        """Of `time.monotonic`."""
        self.due = self.deadline - _SPARE * seconds if seconds < math.inf else math.inf
        """When it is to be done, which leaves some of its time; infinity where nothing was promised."""
        self.priority = priority
        self.left = False
        """Whether its client has gone."""
        self.served: float | None = None
        """Tokens read and written for it, counted from what others had when it came; decides whose turn is next."""
        self.expected = (0.0, 0.0)
        """Tokens that were to be read and written for it, about, when it came."""
        self.to_read = self.to_write = 0.0
        """Those that still are."""
        self.read = self.written = 0
        """Tokens of its prompts that were taken into steps, and tokens of its texts."""
        self.queued_seconds = 0.0
        """How long its first prompts waited."""
        self.told: Callable[[int, Sequence[int]], None] | None = None
        """Hears of each text that is written for it, by its place in the call, what stands so far."""

    def refusal(self) -> InterankError | None:
        """Why nothing more is to be computed for it, if that is so."""
        if self.left:
            return LeftError("the client has gone")
        if monotonic() > self.deadline:
            return Refusal("late", "the answer was not ready within the request's timeout; give it more, or ask less")
        return None

    def charge(self, *, read: int = 0, written: int = 0) -> None:
        """Count tokens that were computed for it."""
        self.served = (self.served or 0.0) + read + written
        self.read, self.written = self.read + read, self.written + written
        self.to_read, self.to_write = max(0.0, self.to_read - read), max(0.0, self.to_write - written)

    def check(self) -> None:
        """Go on only where somebody waits.

        Raises:
            LeftError: The client has gone.
            Refusal: It is past its deadline.
        """
        if error := self.refusal():
            raise error


class Rate:
    """So much of one thing for each of another, of late."""

    def __init__(self, half: float) -> None:
        """Half of it comes from the last `half` of the other."""
        self._half, self._amount, self._of = half, 0.0, 0.0

    def add(self, amount: float, of: float) -> None:
        """Take one more measurement in."""
        kept = 0.5 ** (of / self._half)
        self._amount, self._of = self._amount * kept + amount, self._of * kept + of

    @property
    def value(self) -> float | None:
        """None until something was measured."""
        return self._amount / self._of if self._amount > 0 and self._of > 0 else None


class Backlog:
    """What was taken on and is not answered yet. Several threads share it."""

    def __init__(self) -> None:
        self.tickets: dict[Ticket, None] = {}
        """In the order in which they came, which decides between those that are due at the same time."""
        self._lock = threading.RLock()
        self._reads, self._writes = Rate(_HALF_SECONDS), Rate(_HALF_SECONDS)
        self._true_reading, self._true_writing = Rate(_HALF_TOKENS), Rate(_HALF_TOKENS)
        self._measured = self._free = monotonic()

    @property
    def pace(self) -> float | None:
        """Tokens that are read in a second, as it goes now; None where nothing was."""
        return self._reads.value

    @property
    def tokens(self) -> float:
        """Tokens that are still to be computed, about."""
        with self._lock:
            return sum(ticket.to_read + ticket.to_write for ticket in self.tickets)

    def expect(self, ticket: Ticket, reading: float, writing: float) -> None:
        """A request is taken for so many tokens, of which as many are true as were of those that were answered."""
        ticket.expected = reading, writing
        ticket.to_read = reading * (self._true_reading.value or 1.0)
        ticket.to_write = writing * (self._true_writing.value or 1.0)

    def enter(self, ticket: Ticket) -> None:
        """A request was taken on."""
        with self._lock:
            if not self.tickets:
                self._measured = monotonic()
            self.tickets[ticket] = None

    def leave(self, ticket: Ticket, *, answered: bool) -> None:
        """A request is done with."""
        with self._lock:
            self.tickets.pop(ticket, None)
            if answered:
                for rate, true, expected in (
                    (self._true_reading, ticket.read, ticket.expected[0]),
                    (self._true_writing, ticket.written, ticket.expected[1]),
                ):
                    if true and expected:
                        rate.add(true, expected)

    def begin(self, tokens: int) -> None:
        """A step that reads so many tokens is computed now."""
        self._free = monotonic() + tokens / (self.pace or math.inf)

    def measured(self, *, read: int = 0, written: int = 0) -> None:
        """So many tokens were computed since the last measurement; of none the time is not counted."""
        with self._lock:
            now = monotonic()
            seconds, self._measured, self._free = now - self._measured, now, now
            if not self.tickets:
                return
            weight = written * self._weight
            whole = (read + weight) or 1.0
            if read:
                self._reads.add(read, seconds * read / whole)
            if written:
                self._writes.add(written, seconds * weight / whole)

    @property
    def _weight(self) -> float:
        """Tokens that are read while one is written."""
        reads, writes = self._reads.value, self._writes.value
        return reads / writes if reads and writes else _WRITTEN

    def seconds(self, tickets: Iterable[Ticket]) -> float:
        """What is still to be computed for them takes so long; 0 where no pace is known."""
        tokens = sum(ticket.to_read + self._weight * ticket.to_write for ticket in tickets)
        return tokens / (self.pace or math.inf)

    def late_by(self, new: Ticket) -> float:
        """Seconds by which it would not be done when it is due, or another not for its sake; 0 where all would."""
        with self._lock:
            passed, come, most = max(monotonic(), self._free), False, 0.0
            for ticket in sorted((*self.tickets, new), key=_due):
                passed += self.seconds([ticket])
                # What is due before it is not late for its sake.
                come = come or ticket is new
                most = max(most, passed - ticket.due) if come else most
            return most

    def pressing(self) -> tuple[list[float], set[Ticket]]:
        """The times until which what is due by then needs all turns, the first first; and what cannot be in time."""
        with self._lock:
            passed, times, lost = monotonic(), list[float](), set[Ticket]()
            for ticket in sorted((each for each in self.tickets if each.due < math.inf), key=_due):
                after = passed + self.seconds([ticket])
                if after > ticket.deadline:
                    lost.add(ticket)
                    continue
                passed = after
                if passed > ticket.due:
                    times.append(ticket.due)
            return times, lost


def _due(ticket: Ticket) -> float:
    return ticket.due
