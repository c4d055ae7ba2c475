"""Who is let in, whose turn cannot wait, and that no promise is broken; on a clock of its own."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass

import pytest

from interank.serving.backlog import Backlog, Ticket
from interank.serving.desk import Desk, Entry, tokens_of
from interank.serving.limits import Limits
from interank.serving.operations import Size
from interank.serving.requests import Refusal, RerankRequest, Text
from interank.serving.schedule import Scheduler


@dataclass
class Clock:
    """Goes on when it is told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for name in ("backlog", "desk", "schedule"):
        monkeypatch.setattr(f"interank.serving.{name}.monotonic", made)
    return made


def paced(clock: Clock, *, read: int, written: int = 0, seconds: float = 1.0) -> Backlog:
    """A backlog that has measured so much in as many seconds, of each kind."""
    made, ticket = Backlog(), Ticket()
    made.enter(ticket)
    for counts in ({"read": read}, {"written": written}):
        clock.now += seconds
        made.measure(**counts)
    made.leave(ticket, answered=False)
    return made


@pytest.fixture
def desk(clock: Clock) -> Iterator[Desk]:
    made = Desk(Limits(wait_seconds=10, requests=4, share=0.5), paced(clock, read=1000))
    yield made
    made.close()


def test_the_desk_refuses_what_would_wait_too_long_and_says_when_to_come_back(desk: Desk) -> None:
    first = desk.enter(Ticket(), 12_000, key="a")
    with pytest.raises(Refusal, match=r"wait for about 12 s, and the limit is 10 s") as caught:
        desk.enter(Ticket(), 10, key="b")
    assert caught.value.why == "unavailable" and caught.value.retry_after == pytest.approx(7)
    first.ticket.charge(read=6_000)
    with pytest.raises(Refusal, match="requests of this key wait for about 6 s") as caught:
        desk.enter(Ticket(), 10, key="a")
    assert caught.value.why == "overloaded" and caught.value.retry_after == pytest.approx(3)
    for _ in range(3):
        desk.enter(Ticket(), 10, key="b")
    with pytest.raises(Refusal, match="too many requests are under way"):
        desk.enter(Ticket(), 10, key="b")
    for entry in list(desk.entries):
        desk.leave(entry, answered=False)
    assert desk.backlog.tokens == 0


def test_who_is_let_in_is_counted_until_it_is_computed_and_half_of_its_time_is_kept(desk: Desk) -> None:
    first = desk.enter(Ticket(seconds=10), 4_000)
    with pytest.raises(Refusal, match=r"would be about 1\.0 s late") as caught:
        desk.enter(Ticket(seconds=10), 2_000)
    assert caught.value.why == "unavailable" and caught.value.retry_after == pytest.approx(1)
    with pytest.raises(Refusal, match=r"would be about 0\.5 s late"):
        # It would be in time itself, since it is due before the first, which would not be.
        desk.enter(Ticket(seconds=8), 1_500)
    first.ticket.charge(read=3_000)
    assert desk.enter(Ticket(seconds=10), 2_000).ticket.due < math.inf
    assert desk.backlog.seconds(desk.backlog.tickets) == pytest.approx(3)


def test_one_key_fills_no_more_than_its_share_of_the_time_that_there_is(desk: Desk) -> None:
    desk.enter(Ticket(seconds=10), 2_600, key="a")
    with pytest.raises(Refusal, match="requests of this key wait for about 3 s") as caught:
        desk.enter(Ticket(seconds=10), 10, key="a")
    assert caught.value.why == "overloaded"
    desk.enter(Ticket(seconds=10), 2_000, key="b")


def test_what_there_is_no_time_for_is_tried_alone_and_keeps_nobody_out(desk: Desk) -> None:
    assert desk.enter(Ticket(seconds=10), 9_000).ticket.due == math.inf
    assert desk.enter(Ticket(seconds=10), 1_000).ticket.due < math.inf
    assert desk.backlog.urgent() == ([], set())


def test_what_is_tried_alone_keeps_nobody_out_however_large_it_is(desk: Desk) -> None:
    tried = desk.enter(Ticket(seconds=10), 1_000_000, key="a")
    assert desk.enter(Ticket(seconds=10), 1_000, key="b").ticket.due < math.inf
    with pytest.raises(Refusal, match="requests of this key wait") as caught:
        desk.enter(Ticket(seconds=10), 10, key="a")
    assert caught.value.why == "overloaded"
    desk.leave(tried, answered=False)


def test_a_step_under_way_is_counted_as_far_as_it_has_still_to_go(desk: Desk, clock: Clock) -> None:
    running = desk.enter(Ticket(seconds=10), 4_000)
    running.ticket.charge(read=4_000)
    desk.backlog.begin(4_000)
    clock.now += 1
    assert desk.backlog.late_by(Ticket(seconds=4)) == pytest.approx(1)


def test_a_token_that_is_written_weighs_what_it_takes_beside_one_that_is_read(clock: Clock) -> None:
    backlog, ticket = paced(clock, read=1000, written=50), Ticket()
    backlog.expect(ticket, 500, 100)
    assert backlog.seconds([ticket]) == pytest.approx(2.5)
    backlog.enter(ticket)
    ticket.charge(read=500, written=20)
    assert backlog.seconds([ticket]) == pytest.approx(1.6)
    clock.now += 2
    # Both were computed in between, and share the two seconds as 500 and 20 took 0.5 s and 0.4 s before.
    backlog.measure(read=500, written=20)
    assert backlog.pace == pytest.approx(700, abs=20)
    ticket.charge(read=500, written=80)
    backlog.leave(ticket, answered=True)
    # It had twice as many tokens as it was taken to have, and its texts as many.
    backlog.expect(later := Ticket(), 300, 10)
    assert (later.to_read, later.to_write) == (600, 10)


def test_what_is_due_first_presses_once_there_is_no_time_left_and_what_cannot_be_in_time_is_lost(clock: Clock) -> None:
    backlog, large, small = paced(clock, read=1000), Ticket(seconds=10), Ticket(seconds=30)
    for ticket, tokens in ((large, 4_000), (small, 500)):
        backlog.expect(ticket, tokens, 0)
        backlog.enter(ticket)
    assert backlog.urgent() == ([], set())
    clock.now += 1.1
    assert backlog.urgent() == ([large.due], set())
    clock.now += 5
    assert backlog.urgent() == ([], {large})
    # The time that it would have had is the other's.
    clock.now += 8.5
    assert backlog.urgent() == ([small.due], {large})


def test_of_those_due_at_the_same_time_the_first_to_come_are_kept(clock: Clock) -> None:
    backlog, tickets = paced(clock, read=1000), [Ticket(seconds=10) for _ in range(8)]
    for ticket in tickets:
        backlog.expect(ticket, 3_000, 0)
        backlog.enter(ticket)
    assert backlog.urgent()[1] == set(tickets[3:])


def test_a_request_weighs_what_the_model_reads_of_it() -> None:
    short, long = (RerankRequest(("q",), (Text("a" * size),)) for size in (400, 400_000))
    assert tokens_of(long, 512) < 3 * tokens_of(short, 512)


@dataclass(eq=False)
class Sent:
    """A request of the simulation: documents of ten tokens."""

    at: float
    documents: int
    seconds: float
    entry: Entry | None = None
    asked: Future[list[int]] | None = None
    error: BaseException | None = None
    ended: float = 0.0


class Simulated:
    """An engine whose steps take the clock's time, during which requests come to a desk."""

    def __init__(self, clock: Clock, desk: Desk, pace: Callable[[float], float], coming: list[Sent]) -> None:
        """`pace` gives the tokens that are read in a second, by the time."""
        self.clock, self.desk, self.pace, self.coming = clock, desk, pace, coming
        self.sent: list[Sent] = []
        self.under_way: list[Sent] = []
        self.computed: list[tuple[float, Sent]] = []
        self.pool = ThreadPoolExecutor(desk.limits.requests)
        self.scheduler = Scheduler(100, backlog=desk.backlog)

    def size(self, item: Sent) -> Size:
        return Size(None, 0, 10)

    def compute(self, items: Sequence[Sent]) -> list[int]:
        self.settle({id(item) for item in items} | {id(call.items[0]) for call in self.scheduler._scores})
        self.computed += [(self.clock.now, item) for item in items]
        self.clock.now += 10 * len(items) / self.pace(self.clock.now)
        self.arrive()
        return [1] * len(items)

    def settle(self, waiting: set[int]) -> None:
        """All but those that wait leave: they were answered, or refused, before this step."""
        for sent in [each for each in self.under_way if id(each) not in waiting]:
            assert sent.entry is not None and sent.asked is not None
            sent.error, sent.ended = sent.asked.exception(10), self.clock.now
            self.desk.leave(sent.entry, answered=sent.error is None)
            self.under_way.remove(sent)

    def arrive(self) -> None:
        while self.coming and self.coming[0].at <= self.clock.now:
            sent = self.coming.pop(0)
            self.sent.append(sent)
            ticket = Ticket(seconds=sent.seconds)
            with suppress(Refusal):
                sent.entry = self.desk.enter(ticket, 10 * sent.documents)
                sent.asked = self.pool.submit(self.scheduler.ask, ticket, self, [sent] * sent.documents)
                self.under_way.append(sent)
                while ticket.finish is None:
                    time.sleep(0.0005)

    def rest(self) -> None:
        """Nothing waits: the next comes."""
        self.settle(set())
        if self.coming:
            self.clock.now = max(self.clock.now, self.coming[0].at)
            self.arrive()

    def run(self) -> None:
        while self.coming or self.under_way:
            wait([sent.asked for sent in self.under_way if sent.asked is not None], 60)
            if all(sent.asked is not None and sent.asked.done() for sent in self.under_way):
                self.scheduler.run_alone(self.rest)
        self.scheduler.close()
        self.pool.shutdown()
        self.desk.close()


@pytest.fixture
def simulate(clock: Clock) -> Callable[[Callable[[float], float]], Simulated]:
    """Four times as much as is computed, for twenty seconds, of requests of all sizes and times."""

    def simulated(pace: Callable[[float], float]) -> Simulated:
        backlog, drawn, coming = paced(clock, read=1000), random.Random(3), list[Sent]()
        at = begun = clock.now
        while at < begun + 20:
            coming.append(Sent(at, drawn.choice((1, 4, 16)), drawn.choice((2, 5, 10))))
            at += drawn.expovariate(4 * 1000 / 70)
        made = Simulated(clock, Desk(Limits(), backlog), lambda now: pace(now - begun), coming)
        made.run()
        return made

    return simulated


def test_nobody_who_was_let_in_is_answered_late_and_the_engine_is_never_idle(
    simulate: Callable[[Callable[[float], float]], Simulated],
) -> None:
    made = simulate(lambda passed: 1000)
    let_in = [sent for sent in made.sent if sent.entry is not None]
    assert not [sent for sent in let_in if sent.error or sent.ended > sent.at + sent.seconds]
    # What was computed is what they asked for, for all of the time, and they are of all sizes.
    assert len(made.computed) == sum(sent.documents for sent in let_in) > 1950
    assert {sent.documents for sent in let_in} == {1, 4, 16} and len(let_in) < len(made.sent) / 2


def test_where_the_pace_falls_some_are_told_before_their_time_is_up_and_nothing_is_computed_for_them(
    simulate: Callable[[Callable[[float], float]], Simulated],
) -> None:
    made = simulate(lambda passed: 1000 if passed < 5 else 200)
    let_in = [sent for sent in made.sent if sent.entry is not None]
    told = [sent for sent in let_in if sent.error is not None]
    assert told and all(isinstance(sent.error, Refusal) and sent.error.why == "late" for sent in told)
    early = [sent for sent in told if sent.ended < sent.at + sent.seconds]
    assert len(early) > len(told) / 2
    ends = {id(sent): sent.ended for sent in told}
    assert not [at for at, sent in made.computed if at > ends.get(id(sent), math.inf)]
    # Where it is known, those that come are in time.
    assert not [sent for sent in told if sent.at > made.sent[0].at + 7]
