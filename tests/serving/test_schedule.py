"""Steps of many requests: a budget of tokens, fair turns, and nothing computed for who no longer waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import pytest

from interank.serving.backlog import DisconnectedError, Ticket
from interank.serving.operations import Size
from interank.serving.requests import Refusal
from interank.serving.schedule import Scheduler, Step


@dataclass(eq=False)
class Doubling:
    """Doubles numbers; a step waits until it may go on."""

    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    steps: list[list[int]] = field(default_factory=list)
    shared_tokens: int = 0

    def size(self, item: int) -> Size:
        return Size(item // 100, self.shared_tokens, 10)

    def compute(self, items: Sequence[int]) -> list[int]:
        self.steps.append(list(items))
        assert self.go.acquire(timeout=10)
        if -1 in items:
            raise ValueError("cannot be doubled")
        return [2 * item for item in items]


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler(40)
    yield made
    made.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as made:
        yield made


def until(lane: Doubling, steps: int) -> None:
    begun = time.monotonic()
    while len(lane.steps) < steps:
        assert time.monotonic() - begun < 10
        time.sleep(0.001)


def asked(pool: ThreadPoolExecutor, scheduler: Scheduler, lane: Any, items: list[int], ticket: Ticket) -> Any:
    before = scheduler.waiting_tokens
    made = pool.submit(scheduler.ask, ticket, lane, items)
    while not made.done() and scheduler.waiting_tokens == before:
        time.sleep(0.001)
    return made


def test_a_small_request_beside_a_large_one_waits_for_one_step(scheduler: Scheduler, pool: ThreadPoolExecutor) -> None:
    lane = Doubling()
    large = pool.submit(scheduler.ask, Ticket(), lane, list(range(12)))
    until(lane, 1)
    small = asked(pool, scheduler, lane, [50], Ticket())
    lane.go.release(10)
    assert (small.result(10), large.result(10)) == ([100], [2 * n for n in range(12)])
    assert lane.steps == [[0, 1, 2, 3], [50, 4, 5, 6], [7, 8, 9, 10], [11]]


def test_requests_that_keep_coming_hold_up_none_that_is_larger_than_a_step(
    scheduler: Scheduler, pool: ThreadPoolExecutor
) -> None:
    lane = Doubling()
    running = pool.submit(scheduler.ask, Ticket(), lane, [0, 1, 2, 3])
    until(lane, 1)
    larger = asked(pool, scheduler, lane, [50, 51, 52, 53, 54, 55], Ticket())
    earlier = asked(pool, scheduler, lane, [60, 61, 62, 63], Ticket())
    for step in range(1, 12):
        # Each comes as another is answered, so that one that was never served waits at any time.
        later = asked(pool, scheduler, lane, [100 * step + k for k in range(4)], Ticket())
        lane.go.release()
        until(lane, step + 1)
        if larger.done():
            break
    lane.go.release(40)
    assert step <= 6 and running.done()
    assert larger.result(10) == [100, 102, 104, 106, 108, 110] and earlier.result(10) and later.result(10)


def test_requests_of_equal_size_are_answered_in_the_order_in_which_they_came(
    scheduler: Scheduler, pool: ThreadPoolExecutor
) -> None:
    lane = Doubling()
    running = pool.submit(scheduler.ask, Ticket(), lane, [90])
    until(lane, 1)
    others = [asked(pool, scheduler, lane, [10 * n + k for k in range(6)], Ticket()) for n in range(4)]
    lane.go.release(40)
    assert running.result(10) == [180] and [other.result(10)[0] for other in others] == [0, 20, 40, 60]
    assert [item for step in lane.steps[1:] for item in step] == [10 * n + k for n in range(4) for k in range(6)]


def test_what_items_share_counts_once_a_step(scheduler: Scheduler, pool: ThreadPoolExecutor) -> None:
    lane = Doubling(shared_tokens=10)
    lane.go.release(10)
    assert scheduler.ask(Ticket(), lane, [1, 2, 3, 101, 102]) == [2, 4, 6, 202, 204]
    assert lane.steps == [[1, 2, 3], [101, 102]]


def test_nothing_more_is_computed_for_who_has_gone_or_is_late(scheduler: Scheduler, pool: ThreadPoolExecutor) -> None:
    lane, gone, late = Doubling(), Ticket(), Ticket(seconds=0.05)
    first = pool.submit(scheduler.ask, gone, lane, list(range(40)))
    until(lane, 1)
    second = asked(pool, scheduler, lane, [60, 61], late)
    gone.disconnected = True
    time.sleep(0.06)
    lane.go.release(10)
    with pytest.raises(DisconnectedError):
        first.result(10)
    with pytest.raises(Refusal) as caught:
        second.result(10)
    assert caught.value.why == "late" and lane.steps == [[0, 1, 2, 3]]
    assert scheduler.ask(Ticket(), lane, [7]) == [14]


def test_what_fails_fails_for_its_own_request_alone(scheduler: Scheduler, pool: ThreadPoolExecutor) -> None:
    lane = Doubling()
    busy = pool.submit(scheduler.ask, Ticket(), lane, [5])
    until(lane, 1)
    good, bad = asked(pool, scheduler, lane, [1, 2], Ticket()), asked(pool, scheduler, lane, [-1], Ticket())
    lane.go.release(20)
    assert (busy.result(10), good.result(10)) == ([10], [2, 4])
    with pytest.raises(ValueError, match="cannot be doubled"):
        bad.result(10)


@dataclass(eq=False)
class Writing:
    """Writes each number as often as it says, until its hook ends it."""

    mixes: bool = True
    batches: list[list[int]] = field(default_factory=list)
    prompt_tokens: int = 1

    def size(self, item: int) -> Size:
        return Size(None, 0, self.prompt_tokens)

    def write(self, items: Sequence[int], between: Any) -> list[list[int]]:
        self.batches.append(list(items))
        texts: dict[int, list[int]] = {place: [] for place in range(len(items))}
        ended: set[int] = set()
        while len(ended) < len(items):
            for place in texts.keys() - ended:
                texts[place].append(items[place])
            ended |= between(texts) | {place for place, text in texts.items() if len(text) >= items[place]}
            if -1 in items:
                raise ValueError("cannot be written")
            time.sleep(0.001)
        return [texts[place] for place in range(len(items))]


def queued(pool: ThreadPoolExecutor, ask: Callable[..., Any], ticket: Ticket, lane: Any, items: list[int]) -> Any:
    """A call that waits for its turn."""
    made = pool.submit(ask, ticket, lane, items)
    while ticket.finish is None:
        time.sleep(0.001)
    return made


def test_each_hears_its_own_text_although_one_beside_it_fails(scheduler: Scheduler, pool: ThreadPoolExecutor) -> None:
    lane, busy = Writing(), Doubling()
    busy.go.release()
    heard: dict[int, set[int]] = {number: set() for number in (2, 3, -1)}

    def reader(number: int) -> Ticket:
        made = Ticket()
        made.on_text = lambda place, ids: heard[number].update(ids)
        return made

    def together() -> list[Any]:
        return [queued(pool, scheduler.write, reader(number), lane, [number]) for number in heard]

    first, second, third = scheduler.run_alone(together)
    assert (first.result(10), second.result(10)) == ([[2, 2]], [[3, 3, 3]])
    with pytest.raises(ValueError, match="cannot be written"):
        third.result(10)
    assert lane.batches == [[2, 3, -1], [2], [3], [-1]] and heard == {2: {2}, 3: {3}, -1: {-1}}


def test_who_wrote_much_comes_after_who_wrote_less(scheduler: Scheduler, pool: ThreadPoolExecutor) -> None:
    lane, large, small = Writing(), Ticket(), Ticket()
    asked: list[Any] = []

    def told(place: int, ids: Sequence[int]) -> None:
        if not asked:
            asked.append(queued(pool, scheduler.write, small, lane, [1]))

    large.on_text = told
    assert scheduler.write(large, lane, [2] * 40) == [[2, 2]] * 40 and asked[0].result(10) == [[1]]
    assert lane.batches == [[2] * 16, [1] + [2] * 15, [2] * 9] and (large.written, small.written) == (80, 1)


def test_prompts_that_are_read_together_are_no_longer_than_a_step(scheduler: Scheduler) -> None:
    """Scores that come meanwhile wait for them."""
    for tokens, batches in ((15, [[2, 2], [2, 2], [2]]), (50, [[2]] * 5)):
        lane = Writing(prompt_tokens=tokens)
        assert scheduler.write(Ticket(), lane, [2] * 5) == [[2, 2]] * 5
        assert lane.batches == batches


def test_what_waits_when_it_closes_is_refused_and_so_is_what_comes_later(pool: ThreadPoolExecutor) -> None:
    scheduler, lane, writing = Scheduler(40), Doubling(), Writing()
    running = pool.submit(scheduler.ask, Ticket(), lane, [1, 2, 3, 4, 5])
    until(lane, 1)
    waiting = [
        queued(pool, scheduler.ask, Ticket(), lane, [6]),
        queued(pool, scheduler.write, Ticket(), writing, [7]),
        pool.submit(scheduler.run_alone, lambda: 8),
    ]
    closing = pool.submit(scheduler.close)
    refused = False
    while not refused:
        waiting.append(pool.submit(scheduler.ask, Ticket(), lane, [9]))
        # Told at once where it comes later, and after the step where it came before.
        refused = waiting[-1] in wait([waiting[-1]], 0.05).done
    lane.go.release(10)
    closing.result(10)
    for call in (running, *waiting):
        with pytest.raises(Refusal, match="the server has shut down; use another") as caught:
            call.result(10)
        assert caught.value.why == "unavailable"
    assert lane.steps == [[1, 2, 3, 4]] and writing.batches == []


def test_scores_are_computed_while_texts_are_written_and_a_text_nobody_waits_for_ends() -> None:
    kinds: list[Step] = []
    scheduler, lane = Scheduler(40, kinds.append), Doubling()
    lane.go.release(10)
    heard: list[int] = []
    reader, gone = Ticket(), Ticket()
    reader.on_text = lambda place, ids: heard.append(len(ids))
    with ThreadPoolExecutor(3) as pool:
        written = pool.submit(scheduler.write, reader, Writing(), [400])
        left = pool.submit(scheduler.write, gone, Writing(), [10**9])
        while not heard:
            time.sleep(0.001)
        begun = time.monotonic()
        assert scheduler.ask(Ticket(), lane, [3]) == [6]
        # The text takes most of a second.
        assert time.monotonic() - begun < 0.2 and not written.done()
        gone.disconnected = True
        assert len(written.result(20)[0]) == 400
        with pytest.raises(DisconnectedError):
            left.result(20)
    assert [step.kind for step in kinds][:1] == ["score"] and heard == sorted(heard)
    scheduler.close()
