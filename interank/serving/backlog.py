"""The backlog of accepted requests: the work left for each, the throughput, and thus which would be late."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

from interank.errors import InterankError
from interank.serving.requests import Refusal

# The share of a request's time that is kept in reserve, in case throughput falls after the request was accepted.
_SPARE = 0.5
# Half-life of throughput measurements, in busy seconds.
_HALF_SECONDS = 5.0
# Half-life of the ratio of actual to estimated tokens, in estimated tokens.
_HALF_TOKENS = 20_000.0
# The cost of writing a token, in tokens read, until it has been measured.
_WRITTEN = 16


class DisconnectedError(InterankError):
    """The client of a request has disconnected, so its answer is not needed."""


class Ticket:
    """The progress, deadline and priority of an accepted request."""

    def __init__(self, *, seconds: float = math.inf, priority: int = 0) -> None:
        """Start the clock of a request that may take `seconds`; lower priorities come first."""
        self.deadline = monotonic() + seconds
        """The time limit, by `time.monotonic`."""
        self.due = self.deadline - _SPARE * seconds if seconds < math.inf else math.inf
        """The planned finish, ahead of the deadline by a reserve; infinity without a deadline."""
        self.planned = True
        """False if it is only tried while nothing else needs the time, since it cannot be done in its own."""
        self.priority = priority
        self.disconnected = False
        """True once the client has disconnected."""
        self.finish: float | None = None
        """The virtual time at which its calls so far would be computed if all requests shared the engine evenly."""
        self.expected = (0.0, 0.0)
        """The estimated tokens to read and to write, when it came."""
        self.to_read = self.to_write = 0.0
        """The estimated tokens that are left to read and to write."""
        self.read = self.written = 0
        """Tokens of prompts that entered a step, and tokens written."""
        self.queued_seconds = 0.0
        """The time that its first prompts waited."""
        self.on_text: Callable[[int, Sequence[int]], None] | None = None
        """Called with a text's index in its call and its token ids so far, whenever it grows."""

    @property
    def seconds_left(self) -> float:
        """The time until the deadline, at least 0; infinity without one."""
        return max(0.0, self.deadline - monotonic())

    def refusal(self) -> InterankError | None:
        """The reason to stop computing for this request; None to continue."""
        if self.disconnected:
            return DisconnectedError("the client has disconnected")
        return late() if monotonic() > self.deadline else None

    def charge(self, *, read: int = 0, written: int = 0) -> None:
        """Count tokens that were computed for this request."""
        self.read, self.written = self.read + read, self.written + written
        self.to_read, self.to_write = max(0.0, self.to_read - read), max(0.0, self.to_write - written)

    def check(self) -> None:
        """Raise if the request is no longer to be computed.

        Raises:
            DisconnectedError: The client has disconnected.
            Refusal: The deadline has passed.
        """
        if error := self.refusal():
            raise error


def late() -> Refusal:
    """The refusal of a request whose deadline has passed."""
    return Refusal(
        "late", "the answer was not ready within the request's timeout; allow a longer one, or send fewer documents"
    )


class Rate:
    """A ratio of two quantities in which recent measurements weigh more (exponential decay)."""

    def __init__(self, half_life: float) -> None:
        """Start without measurements; `half_life` is in units of the denominator."""
        self._half_life, self._numerator, self._denominator = half_life, 0.0, 0.0

    def add(self, numerator: float, denominator: float) -> None:
        """Add a measurement."""
        decay = 0.5 ** (denominator / self._half_life)
        self._numerator = self._numerator * decay + numerator
        self._denominator = self._denominator * decay + denominator

    @property
    def value(self) -> float | None:
        """The ratio; None before the first measurement."""
        return self._numerator / self._denominator if self._numerator > 0 and self._denominator > 0 else None


class Backlog:
    """The accepted requests that are not answered yet. Thread-safe."""

    def __init__(self) -> None:
        self.tickets: dict[Ticket, None] = {}
        """In order of arrival, which breaks ties between equal due times."""
        self._lock = threading.RLock()
        self._reads, self._writes = Rate(_HALF_SECONDS), Rate(_HALF_SECONDS)
        self._true_reading, self._true_writing = Rate(_HALF_TOKENS), Rate(_HALF_TOKENS)
        self._measured = self._free = monotonic()

    @property
    def pace(self) -> float | None:
        """The current throughput in tokens read per second; None before the first measurement."""
        return self._reads.value

    @property
    def tokens(self) -> float:
        """The estimated number of tokens that are still to be computed."""
        with self._lock:
            return sum(ticket.to_read + ticket.to_write for ticket in self.tickets)

    def expect(self, ticket: Ticket, reading: float, writing: float) -> None:
        """Set a request's estimated tokens, corrected by the actual to estimated ratio of answered requests."""
        ticket.expected = reading, writing
        ticket.to_read = reading * (self._true_reading.value or 1.0)
        ticket.to_write = writing * (self._true_writing.value or 1.0)

    def enter(self, ticket: Ticket) -> None:
        """Add an accepted request."""
        with self._lock:
            if not self.tickets:
                self._measured = monotonic()
            self.tickets[ticket] = None

    def leave(self, ticket: Ticket, *, answered: bool) -> None:
        """Remove a request; an answered one updates the ratios of actual to estimated tokens."""
        with self._lock:
            self.tickets.pop(ticket, None)
            if answered:
                for rate, actual, expected in (
                    (self._true_reading, ticket.read, ticket.expected[0]),
                    (self._true_writing, ticket.written, ticket.expected[1]),
                ):
                    if actual and expected:
                        rate.add(actual, expected)

    def begin(self, tokens: int) -> None:
        """Note that a step begins now which reads so many tokens."""
        self._free = monotonic() + tokens / (self.pace or math.inf)

    def measure(self, *, read: int = 0, written: int = 0) -> None:
        """Measure throughput: so many tokens were computed since the last call; without tokens, restart the clock."""
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
        """The cost of writing a token, in tokens read."""
        reads, writes = self._reads.value, self._writes.value
        return reads / writes if reads and writes else _WRITTEN

    def seconds(self, tickets: Iterable[Ticket]) -> float:
        """The estimated time to compute what is left of these requests; 0 while the throughput is unknown."""
        tokens = sum(ticket.to_read + self._weight * ticket.to_write for ticket in tickets)
        return tokens / (self.pace or math.inf)

    def late_by(self, new: Ticket) -> float:
        """Seconds by which the new request, or another because of it, would miss its due time; 0 if none would."""
        with self._lock:
            passed, come, most = max(monotonic(), self._free), False, 0.0
            for ticket in sorted((*self.tickets, new), key=_due):
                passed += self.seconds([ticket])
                # Requests that are due earlier go first, so the new one does not delay them.
                come = come or ticket is new
                most = max(most, passed - ticket.due) if come else most
            return most

    def urgent(self) -> tuple[list[float], set[Ticket]]:
        """The due times that would be missed, earliest first, and the requests that cannot meet their deadlines.

        Requests due by such a time go before all others.
        """
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
