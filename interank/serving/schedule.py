"""One engine for many requests: their prompts meet in steps of a token budget, in turns that are fair by request."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from interank.errors import InterankError
from interank.serving.asked import Refusal

# Texts that are written together, whoever asked for them.
_ROWS = 16
# Of the time that scores take, what writing gets between two steps of them while both wait.
_WRITING_SHARE = 0.25


class LeftError(InterankError):
    """The client of a request has gone, so that nobody reads its answer."""


class Ticket:
    """A request under way: how far it got, and whether anybody still waits for it."""

    def __init__(self, *, deadline: float | None = None, priority: int = 0) -> None:
        """`deadline` is of `time.monotonic`; of priorities the least comes first."""
        self.deadline = deadline
        self.priority = priority
        self.left = False
        """Whether its client has gone."""
        self.served: float | None = None
        """Tokens read and written for it, counted from what others had when it came; decides whose turn is next."""
        self.tokens = 0
        """Tokens of its prompts that were taken into steps."""
        self.queued_seconds = 0.0
        """How long its first prompts waited."""
        self.told: Callable[[int, Sequence[int]], None] | None = None
        """Hears of each text that is written for it, by its place in the call, what stands so far."""

    def refusal(self) -> InterankError | None:
        """Why nothing more is to be computed for it, if that is so."""
        if self.left:
            return LeftError("the client has gone")
        if self.deadline is not None and time.monotonic() > self.deadline:
            return Refusal("late", "the answer was not ready within the request's timeout; give it more, or ask less")
        return None

    def charge(self, tokens: int) -> None:
        """Count tokens that were computed for it."""
        self.served = (self.served or 0.0) + tokens

    def check(self) -> None:
        """Go on only where somebody waits.

        Raises:
            LeftError: The client has gone.
            Refusal: It is past its deadline.
        """
        if error := self.refusal():
            raise error


class Size(NamedTuple):
    """What an item takes of a step: what it shares with others of the same `shared` counts once."""

    shared: Hashable
    shared_tokens: int
    own_tokens: int


class Lane(Protocol):
    """One way to compute items; equal lanes compute theirs together."""

    def size(self, item: Any) -> Size:
        """What an item takes of a step."""
        ...

    def compute(self, items: Sequence[Any]) -> list[Any]:
        """The items' results, in their order."""
        ...


Between = Callable[[Mapping[int, Sequence[int]]], frozenset[int]]
"""Told after each token what stands so far at each place of the prompts; gives the places to end."""


class WritingLane(Protocol):
    """One way to write texts."""

    @property
    def mixes(self) -> bool:
        """Whether texts of several calls are written together."""
        ...

    def write(self, items: Sequence[Any], between: Between) -> list[Any]:
        """The texts, in the order of the items; `between` is called after each token or some."""
        ...


@dataclass(eq=False)
class _Call:
    """Items that a request waits for."""

    number: int
    ticket: Ticket
    lane: Any
    items: Sequence[Any]
    sizes: Sequence[Size]
    begun: int = 0
    results: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)
    since: float = field(default_factory=time.monotonic)

    @property
    def turn(self) -> tuple[int, float, int]:
        return self.ticket.priority, self.ticket.served or 0.0, self.number

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.done.set()

    def take(self, results: Sequence[Any]) -> None:
        self.results += results
        if len(self.results) == len(self.items):
            self.done.set()


_Parts = list[tuple[_Call, int]]
"""Calls with how many of their items are computed together."""


class Step(NamedTuple):
    """What a step was like, for whoever measures."""

    kind: str
    """`score` or `write`."""
    requests: int
    items: int
    tokens: int
    seconds: float


class Scheduler:
    """Owns what computes: requests wait in threads of their own while its thread computes their items."""

    def __init__(self, step_tokens: int, watch: Callable[[Step], None] = lambda step: None) -> None:
        """Begin; a step takes so many tokens, or one item that has more. `watch` hears of every step."""
        self.step_tokens = step_tokens
        self._watch = watch
        self._changed = threading.Condition()
        self._scores: list[_Call] = []
        self._texts: list[_Call] = []
        self._alone: list[tuple[Callable[[], Any], _Call]] = []
        self._numbers = itertools.count()
        self._now = 0.0
        self._rested = 0.0
        self._took = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="interank-engine", daemon=True)
        self._thread.start()

    def ask(self, ticket: Ticket, lane: Lane, items: Sequence[Any]) -> list[Any]:
        """The items' results, computed with those of others in as many steps as they take.

        Raises:
            LeftError, Refusal: Nobody waits for them any more, or the scheduler was closed.
            Exception: What computing them raised.
        """
        return self._asked(self._scores, ticket, lane, items, [lane.size(item) for item in items])

    def write(self, ticket: Ticket, lane: WritingLane, items: Sequence[Any]) -> list[Any]:
        """Texts, written while no scores wait, or between their steps.

        Raises:
            LeftError, Refusal: Nobody waits for them any more, or the scheduler was closed.
            Exception: What writing them raised.
        """
        return self._asked(self._texts, ticket, lane, items, [])

    def alone(self, work: Callable[[], Any]) -> Any:
        """What `work` gives, done between two steps while nothing else computes.

        Raises:
            Refusal: The scheduler was closed.
            Exception: What it raised.
        """
        call = _Call(next(self._numbers), Ticket(), None, [None], [])
        return self._waited(call, lambda: self._alone.append((work, call)))[0]

    @property
    def waiting_tokens(self) -> int:
        """Tokens of prompts that no step has taken yet, what they share counted each time."""
        with self._changed:
            return sum(size.own_tokens for call in self._scores for size in call.sizes[call.begun :])

    def close(self) -> None:
        """End the thread after the step that it is at; what waits then, and what comes later, is refused."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _asked(
        self, queue: list[_Call], ticket: Ticket, lane: Any, items: Sequence[Any], sizes: Sequence[Size]
    ) -> list[Any]:
        ticket.check()
        if not items:
            return []
        call = _Call(next(self._numbers), ticket, lane, items, sizes)
        return self._waited(call, lambda: queue.append(call))

    def _waited(self, call: _Call, enqueue: Callable[[], None]) -> list[Any]:
        with self._changed:
            if self._closed:
                raise _closed()
            if call.ticket.served is None:
                call.ticket.served = self._now
            enqueue()
            self._changed.notify()
        call.done.wait()
        if call.error is not None:
            raise call.error
        return call.results

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._scores or self._texts or self._alone or self._closed):
                    self._changed.wait()
                if self._closed:
                    for waiting in (*self._scores, *self._texts, *(call for _, call in self._alone)):
                        waiting.fail(_closed())
                    return
                alone = self._alone.pop(0) if self._alone else None
            if alone is not None:
                work, call = alone
                self._computed([(call, 1)], lambda _, work=work: [work()])  # type: ignore[misc]
            elif not self._score_step():
                self._write_step()

    def _score_step(self) -> bool:
        """Compute one step of scores; False if none wait."""
        with self._changed:
            _drop(self._scores)
            parts, tokens = self._chosen()
        if not parts:
            return False
        begun = time.monotonic()
        for call, _ in parts:
            if not call.results:
                call.ticket.queued_seconds = max(call.ticket.queued_seconds, begun - call.since)
        self._computed(parts, lambda some: some[0][0].lane.compute([item for _, _, item in _items(some)]))
        self._rested = time.monotonic()
        self._took = self._rested - begun
        self._watch(Step("score", len(parts), sum(count for _, count in parts), tokens, self._took))
        return True

    def _turns(self, queue: list[_Call]) -> list[_Call]:
        """The calls in the order of their turns, of which the first says what who comes now counts from."""
        waiting = sorted(queue, key=lambda call: call.turn)
        if waiting:
            self._now = max(self._now, waiting[0].ticket.served or 0.0)
        return waiting

    def _chosen(self) -> tuple[_Parts, int]:
        """Calls with how many of their items are next, all of one lane, and the tokens that this takes."""
        waiting = self._turns(self._scores)
        parts: _Parts = []
        total, met = 0, set[Hashable]()
        for call in waiting:
            if call.lane != waiting[0].lane:
                continue
            count = used = 0
            for size in call.sizes[call.begun :]:
                more = size.own_tokens + (0 if size.shared in met else size.shared_tokens)
                if (parts or count) and total + more > self.step_tokens:
                    break
                met.add(size.shared)
                count, used, total = count + 1, used + more, total + more
            if count:
                call.begun += count
                call.ticket.charge(used)
                call.ticket.tokens += used
                parts.append((call, count))
            if total >= self.step_tokens:
                break
        self._scores[:] = [call for call in self._scores if call.begun < len(call.items)]
        return parts, total

    def _write_step(self) -> None:
        """Write some texts to their ends, with steps of scores in between."""
        with self._changed:
            _drop(self._texts)
            parts = self._chosen_texts()
        if not parts:
            return
        begun = time.monotonic()
        written = [0]

        def write(some: _Parts) -> list[Any]:
            rows = _items(some)
            between = self._between(rows, written)
            return some[0][0].lane.write([item for _, _, item in rows], between)  # type: ignore[no-any-return]

        self._computed(parts, write)
        seconds = time.monotonic() - begun
        self._watch(Step("write", len(parts), sum(count for _, count in parts), written[0], seconds))

    def _between(self, rows: Sequence[tuple[_Call, int, Any]], written: list[int]) -> Between:
        """What is done after each token of these rows; counts the tokens in `written`."""
        lengths = [0] * len(rows)

        def between(texts: Mapping[int, Sequence[int]]) -> frozenset[int]:
            for row, ids in texts.items():
                call, place, _ = rows[row]
                more = len(ids) - lengths[row]
                lengths[row] += more
                written[0] += more
                call.ticket.charge(more)
                if more and call.ticket.told is not None:
                    call.ticket.told(place, ids)
            if time.monotonic() - self._rested >= _WRITING_SHARE * self._took:
                self._score_step()
            return frozenset(row for row, (call, _, _) in enumerate(rows) if self._refusal(call))

        return between

    def _chosen_texts(self) -> _Parts:
        waiting = self._turns(self._texts)
        parts: _Parts = []
        room = _ROWS
        for call in waiting:
            if parts and not (call.lane.mixes and call.lane == waiting[0].lane):
                continue
            count = min(room, len(call.items) - call.begun)
            if count:
                call.begun += count
                room -= count
                parts.append((call, count))
        self._texts[:] = [call for call in self._texts if call.begun < len(call.items)]
        return parts

    def _computed(self, parts: _Parts, compute: Callable[[_Parts], list[Any]]) -> None:
        """Give each call its part of the results; where one fails, the others are computed without it."""
        try:
            results = compute(parts)
        except Exception as error:  # noqa: BLE001  # Whatever it is, it is told to those who asked, in their threads.
            if len(parts) == 1:
                self._ended(parts[0][0], self._refusal(parts[0][0]) or error)
                return
            for part in parts:
                self._computed([part], compute)
            return
        for call, count in parts:
            own, results = results[:count], results[count:]
            if refusal := self._refusal(call):
                self._ended(call, refusal)
            else:
                call.take(own)

    def _refusal(self, call: _Call) -> InterankError | None:
        """Why nothing more is to be computed for a call, if that is so."""
        return _closed() if self._closed else call.ticket.refusal()

    def _ended(self, call: _Call, error: BaseException) -> None:
        with self._changed:
            for queue in (self._scores, self._texts):
                if call in queue:
                    queue.remove(call)
        call.fail(error)


def _items(parts: _Parts) -> list[tuple[_Call, int, Any]]:
    """Each item that is computed, with its call and its place there."""
    return [
        (call, place, call.items[place]) for call, count in parts for place in range(call.begun - count, call.begun)
    ]


def _closed() -> Refusal:
    return Refusal("unavailable", "the server has ended; ask another, or this one once it is back")


def _drop(queue: list[_Call]) -> None:
    """Let go of calls that nobody waits for."""
    for call in list(queue):
        if error := call.ticket.refusal():
            queue.remove(call)
            call.fail(error)
