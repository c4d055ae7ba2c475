"""Schedules one engine for many requests: batches prompts into steps of a token budget, fairly between requests."""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple

from interank.errors import InterankError
from interank.serving.backlog import Backlog, Ticket
from interank.serving.operations import Between, GeneratingOperation, Operation, Size
from interank.serving.requests import Refusal

# The most texts that are generated in one batch.
_ROWS = 16
# Generation time between two scoring steps, as a share of the last scoring step's time, while both kinds wait.
_WRITING_SHARE = 0.25


@dataclass(eq=False)
class _Call:
    """A call of an operation, whose results a request waits for."""

    number: int
    ticket: Ticket
    operation: Any
    items: Sequence[Any]
    sizes: Sequence[Size]
    cost: float
    """The estimated tokens to compute."""
    finish: float = 0.0
    """The virtual time at which it would be computed if all requests shared the engine evenly; the lowest goes next."""
    begun: int = 0
    shared: set[Hashable] = field(default_factory=set)
    """The shared parts that have been read."""
    results: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)
    since: float = field(default_factory=monotonic)

    def turn(self, urgent: Sequence[float]) -> tuple[int, int, float, int]:
        return bisect_left(urgent, self.ticket.due), self.ticket.priority, self.finish, self.number

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.done.set()

    def begin(self, count: int) -> int:
        """Mark the next items as computed; returns their tokens, without shared parts that an earlier step had read."""
        tokens = 0
        for size in self.sizes[self.begun : self.begun + count]:
            tokens += size.own_tokens + (0 if size.shared in self.shared else size.shared_tokens)
            self.shared.add(size.shared)
        self.begun += count
        return tokens

    def take(self, results: Sequence[Any]) -> None:
        self.results += results
        if len(self.results) == len(self.items):
            self.done.set()


_Parts = list[tuple[_Call, int]]
"""The calls of a batch, each with its number of items."""


class Step(NamedTuple):
    """The measurements of a step."""

    kind: str
    """`score` or `write`."""
    requests: int
    items: int
    tokens: int
    seconds: float


class Scheduler:
    """Owns the engine: its one thread computes the items of all requests, which wait in threads of their own."""

    def __init__(
        self, step_tokens: int, watch: Callable[[Step], None] = lambda step: None, backlog: Backlog | None = None
    ) -> None:
        """Start the thread; a step has up to `step_tokens`, or one longer item. `watch` is called after every step."""
        self.step_tokens = step_tokens
        self.backlog = backlog or Backlog()
        """Tells which requests are urgent, and measures the throughput of steps."""
        self._watch = watch
        self._changed = threading.Condition()
        self._scores: list[_Call] = []
        self._texts: list[_Call] = []
        self._alone: list[tuple[Callable[[], Any], _Call]] = []
        self._numbers = itertools.count()
        self._virtual = 0.0
        """Tokens computed for each request by now if all that waited had shared the engine evenly."""
        self._rested = 0.0
        self._took = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="interank-engine", daemon=True)
        self._thread.start()

    def ask(self, ticket: Ticket, operation: Operation, items: Sequence[Any]) -> list[Any]:
        """The items' results, computed in one or more steps together with other requests' items.

        Raises:
            DisconnectedError: The client has disconnected.
            Refusal: The deadline has passed or cannot be met, or the scheduler was closed.
            Exception: The computation raised it.
        """
        sizes = [operation.size(item) for item in items]
        shared = {size.shared: size.shared_tokens for size in sizes}
        tokens = sum(shared.values()) + sum(size.own_tokens for size in sizes)
        ticket.to_read = max(ticket.to_read, tokens)
        return self._enqueue(self._scores, ticket, operation, items, sizes, tokens)

    def write(self, ticket: Ticket, operation: GeneratingOperation, items: Sequence[Any]) -> list[Any]:
        """Generated texts; generation runs while no scores wait, and between scoring steps.

        Raises:
            DisconnectedError: The client has disconnected.
            Refusal: The deadline has passed, or the scheduler was closed.
            Exception: The generation raised it.
        """
        sizes = [operation.size(item) for item in items]
        return self._enqueue(self._texts, ticket, operation, items, sizes, max(ticket.to_write, len(items)))

    def run_alone(self, work: Callable[[], Any]) -> Any:
        """The result of `work`, run between two steps while nothing else computes.

        Raises:
            Refusal: The scheduler was closed.
            Exception: The work raised it.
        """
        call = _Call(next(self._numbers), Ticket(), None, [None], [], 0)
        return self._wait(call, lambda: self._alone.append((work, call)))[0]

    @property
    def waiting_tokens(self) -> int:
        """Tokens of items that are not in a step yet, without their shared parts."""
        with self._changed:
            return sum(size.own_tokens for call in self._scores for size in call.sizes[call.begun :])

    def close(self) -> None:
        """End the thread after the current step; waiting and later calls are refused."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _enqueue(
        self,
        queue: list[_Call],
        ticket: Ticket,
        operation: Any,
        items: Sequence[Any],
        sizes: Sequence[Size],
        cost: float,
    ) -> list[Any]:
        ticket.check()
        if not items:
            return []
        call = _Call(next(self._numbers), ticket, operation, items, sizes, cost)
        return self._wait(call, lambda: queue.append(call))

    def _wait(self, call: _Call, enqueue: Callable[[], None]) -> list[Any]:
        with self._changed:
            if self._closed:
                raise _closed()
            call.finish = call.ticket.finish = max(self._virtual, call.ticket.finish or 0.0) + call.cost
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
                self._compute([(call, 1)], lambda _, work=work: [work()])  # type: ignore[misc]
                self.backlog.measure()
            elif not self._score_step():
                self._write_step()

    def _score_step(self) -> bool:
        """Compute one scoring step; False if no scores wait."""
        urgent, lost = self.backlog.urgent()
        with self._changed:
            _drop(self._scores, lost)
            parts, tokens, new = self._choose(urgent)
        if not parts:
            return False
        begun = monotonic()
        self.backlog.begin(new)
        for call, _ in parts:
            if not call.results:
                call.ticket.queued_seconds = max(call.ticket.queued_seconds, begun - call.since)
        self._compute(parts, lambda some: some[0][0].operation.compute([item for _, _, item in _items(some)]))
        self.backlog.measure(read=new)
        self._rested = monotonic()
        self._took = self._rested - begun
        self._watch(Step("score", len(parts), sum(count for _, count in parts), tokens, self._took))
        return True

    def _turns(self, queue: list[_Call], urgent: Sequence[float]) -> list[_Call]:
        """The calls in scheduling order: urgent ones by due time, then by priority, then by fair queueing."""
        return sorted(queue, key=lambda call: call.turn(urgent))

    def _begin(self, parts: _Parts, queue: list[_Call]) -> None:
        """Advance the virtual time by what a batch computes, and leave in the queue what has still to begin."""
        cost = sum(call.cost * count / len(call.items) for call, count in parts)
        if parts:
            self._virtual += cost / len({call.ticket for call in (*self._scores, *self._texts)})
        queue[:] = [call for call in queue if call.begun < len(call.items)]

    def _choose(self, urgent: Sequence[float]) -> tuple[_Parts, int, int]:
        """The next step's calls, all of equal operations; its tokens, and those that were not read before."""
        waiting = self._turns(self._scores, urgent)
        parts: _Parts = []
        total, read, met = 0, 0, set[Hashable]()
        for call in waiting:
            if call.operation != waiting[0].operation:
                continue
            count = 0
            for size in call.sizes[call.begun :]:
                more = size.own_tokens + (0 if size.shared in met else size.shared_tokens)
                if (parts or count) and total + more > self.step_tokens:
                    break
                met.add(size.shared)
                count, total = count + 1, total + more
            if count:
                new = call.begin(count)
                call.ticket.charge(read=new)
                read += new
                parts.append((call, count))
            if total >= self.step_tokens:
                break
        self._begin(parts, self._scores)
        return parts, total, read

    def _write_step(self) -> None:
        """Generate a batch of texts to their ends, with scoring steps in between."""
        urgent, _ = self.backlog.urgent()
        with self._changed:
            _drop(self._texts)
            parts = self._choose_texts(urgent)
        if not parts:
            return
        begun = monotonic()
        written = [0]

        def write(some: _Parts) -> list[Any]:
            rows = _items(some)
            between = self._between(rows, written)
            return some[0][0].operation.write([item for _, _, item in rows], between)  # type: ignore[no-any-return]

        self._compute(parts, write)
        seconds = monotonic() - begun
        self._watch(Step("write", len(parts), sum(count for _, count in parts), written[0], seconds))

    def _between(self, rows: Sequence[tuple[_Call, int, Any]], written: list[int]) -> Between:
        """The callback between the tokens of these rows; counts the tokens in `written`."""
        lengths = [0] * len(rows)

        def between(texts: Mapping[int, Sequence[int]]) -> frozenset[int]:
            before = written[0]
            for row, ids in texts.items():
                call, place, _ = rows[row]
                more = len(ids) - lengths[row]
                lengths[row] += more
                written[0] += more
                call.ticket.charge(written=more)
                if more and call.ticket.on_text is not None:
                    call.ticket.on_text(place, ids)
            if written[0] > before:
                self.backlog.measure(written=written[0] - before)
            if monotonic() - self._rested >= _WRITING_SHARE * self._took:
                self._score_step()
            return frozenset(row for row, (call, _, _) in enumerate(rows) if self._refusal(call))

        return between

    def _choose_texts(self, urgent: Sequence[float]) -> _Parts:
        """The next batch of texts; scores wait while its prompts are read, so they are no longer than a step."""
        waiting = self._turns(self._texts, urgent)
        parts: _Parts = []
        rows, total, met = 0, 0, set[Hashable]()
        for call in waiting:
            if parts and not (call.operation.mixes and call.operation == waiting[0].operation):
                continue
            count = 0
            for size in call.sizes[call.begun : call.begun + _ROWS - rows]:
                total += size.own_tokens + (0 if size.shared in met else size.shared_tokens)
                if (parts or count) and total > self.step_tokens:
                    break
                met.add(size.shared)
                count += 1
            if count:
                call.begun += count
                rows += count
                parts.append((call, count))
            if rows == _ROWS or total > self.step_tokens:
                break
        self._begin(parts, self._texts)
        return parts

    def _compute(self, parts: _Parts, compute: Callable[[_Parts], list[Any]]) -> None:
        """Compute a batch and give each call its results; after an error, each call is computed by itself."""
        try:
            results = compute(parts)
        except Exception as error:  # noqa: BLE001  # Any error is raised again in the threads of its requests.
            if len(parts) == 1:
                self._fail(parts[0][0], self._refusal(parts[0][0]) or error)
                return
            for part in parts:
                self._compute([part], compute)
            return
        for call, count in parts:
            own, results = results[:count], results[count:]
            if refusal := self._refusal(call):
                self._fail(call, refusal)
            else:
                call.take(own)

    def _refusal(self, call: _Call) -> InterankError | None:
        """The reason to stop computing a call; None to continue."""
        return _closed() if self._closed else call.ticket.refusal()

    def _fail(self, call: _Call, error: BaseException) -> None:
        with self._changed:
            for queue in (self._scores, self._texts):
                if call in queue:
                    queue.remove(call)
        call.fail(error)


def _items(parts: _Parts) -> list[tuple[_Call, int, Any]]:
    """Each item of a batch, with its call and its index there."""
    return [
        (call, place, call.items[place]) for call, count in parts for place in range(call.begun - count, call.begun)
    ]


def _closed() -> Refusal:
    return Refusal("unavailable", "the server has shut down; use another server, or retry later")


def _drop(queue: list[_Call], lost: Set[Ticket] = frozenset()) -> None:
    """Fail the calls of disconnected or late requests, and of those that cannot meet their deadlines."""
    for call in list(queue):
        if error := call.ticket.refusal() or (_too_late() if call.ticket in lost else None):
            queue.remove(call)
            call.fail(error)


def _too_late() -> Refusal:
    return Refusal("late", "the answer would come after the request's timeout; retry later, or allow a longer timeout")
