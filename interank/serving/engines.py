"""Engines as a request sees them: calls go through the scheduler, where they meet those of other requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from interank.engines.head_engine import HeadEngine
from interank.engines.heads import Head
from interank.engines.pairs import Pair, PairEncoder
from interank.engines.prompts import Prompt
from interank.engines.protocol import Ability, Completion, Engine, ForcedLabels, Grading, LabelLogits, Sampling
from interank.engines.transformers import TransformersEngine
from interank.engines.work import Work, work_of_reading, work_of_writing
from interank.serving.backlog import Ticket
from interank.serving.schedule import Between, Scheduler, Size

# Tokens that are written at a time where an engine cannot be interrupted, and prompts that are sent at a time.
_PIECE = 16
_SENT = 32


@dataclass(frozen=True)
class Labels:
    """The labels' logits after prompts."""

    engine: Engine
    labels: tuple[int, ...]

    def size(self, item: Prompt) -> Size:
        """See `Lane`."""
        return Size(item.prefix, len(item.prefix), len(item.document) + len(item.suffix))

    def compute(self, items: Sequence[Prompt]) -> list[LabelLogits]:
        """See `Lane`."""
        return self.engine.label_logits(items, self.labels)


@dataclass(frozen=True)
class Pairs:
    """A head's logits of pairs."""

    engine: HeadEngine

    def size(self, item: Pair) -> Size:
        """See `Lane`."""
        return Size(None, 0, len(item.ids))

    def compute(self, items: Sequence[Pair]) -> list[float]:
        """See `Lane`."""
        return self.engine.scores(items)


@dataclass(frozen=True)
class Texts:
    """Texts behind prompts."""

    engine: Engine
    sampling: Sampling
    end: int

    @property
    def mixes(self) -> bool:
        """Whether what stands beside a text leaves it as it is, which drawn ones do not promise."""
        return self.sampling.temperature == 0

    def write(self, items: Sequence[Prompt], between: Between) -> list[Completion]:
        """See `WritingLane`."""
        with _interrupted(self.engine, between) as inside:
            if inside or not self.mixes:
                return self.engine.generate(items, self.sampling, end=self.end)
            return self._in_pieces(items, between)

    def _in_pieces(self, items: Sequence[Prompt], between: Between) -> list[Completion]:
        """A few tokens of each at a time, what is there already given with its prompt."""
        found = [Completion((), (), False)] * len(items)
        rest = dict.fromkeys(range(len(items)), self.sampling.max_new_tokens)
        while rest:
            asked = [items[place].then(found[place].ids) for place in rest]
            some = replace(self.sampling, max_new_tokens=min(_PIECE, min(rest.values())))
            for place, piece in zip(list(rest), self.engine.generate(asked, some, end=self.end), strict=True):
                before = found[place]
                found[place] = Completion(before.ids + piece.ids, before.logprobs + piece.logprobs, piece.finished)
                rest[place] -= some.max_new_tokens
                if piece.finished or rest[place] <= 0:
                    del rest[place]
            for place in between({place: item.ids for place, item in enumerate(found)}):
                rest.pop(place, None)
        return found


@dataclass(frozen=True, eq=False)
class GradedTexts:
    """Texts behind prompts with the grades that follow them; each call by itself, as it says what is asked then."""

    engine: Any
    sampling: Sampling
    asked: ForcedLabels
    end: int

    @property
    def mixes(self) -> bool:
        """See `WritingLane`."""
        return False

    def write(self, items: Sequence[Prompt], between: Between) -> list[tuple[Completion, LabelLogits]]:
        """See `WritingLane`."""
        with _interrupted(self.engine, between):
            found: list[tuple[Completion, LabelLogits]] = self.engine.generate_graded(
                items, self.sampling, self.asked, end=self.end
            )
        return found


@contextmanager
def _interrupted(engine: Any, between: Between) -> Iterator[bool]:
    """Have an engine stop after each token for what else waits; False where it cannot."""
    if not isinstance(engine, TransformersEngine) and not hasattr(engine, "between"):
        yield False
        return
    engine.between = between
    try:
        yield True
    finally:
        engine.between = None


class SharedEngine:
    """One request's way to an engine that it shares with others."""

    def __init__(self, engine: Engine, scheduler: Scheduler, ticket: Ticket) -> None:
        self.engine = engine
        self.work = Work()
        self._scheduler = scheduler
        self._ticket = ticket

    @property
    def abilities(self) -> frozenset[Ability]:
        """See `Engine`."""
        return self.engine.abilities

    @property
    def device(self) -> str:
        """See `Engine`."""
        return self.engine.device

    def flops(self, work: Work) -> float | None:
        """See `Engine`."""
        return self.engine.flops(work)

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        """See `Engine`."""
        found = self._scheduler.ask(self._ticket, Labels(self.engine, tuple(labels)), prompts)
        self.work += work_of_reading(prompts) + Work(projected=len(prompts))
        return found

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        """See `Engine`."""
        found: list[Completion] = self._scheduler.write(self._ticket, Texts(self.engine, sampling, end), prompts)
        self.work += _written(prompts, found)
        return found


class SharedGradingEngine(SharedEngine):
    """The same of an engine that grades what it has just written."""

    engine: Any

    @property
    def rereads(self) -> bool:
        """See `Grading`."""
        return bool(self.engine.rereads)

    def generate_graded(
        self, prompts: Sequence[Prompt], sampling: Sampling, asked: ForcedLabels, *, end: int
    ) -> list[tuple[Completion, LabelLogits]]:
        """See `Grading`."""
        lane = GradedTexts(self.engine, sampling, asked, end)
        found: list[tuple[Completion, LabelLogits]] = self._scheduler.write(self._ticket, lane, prompts)
        self.work += _written(prompts, [item for item, _ in found])
        return found


class ServedEngine(SharedEngine):
    """One request's way to servers, which batch by themselves; it asks for some prompts at a time."""

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        """See `Engine`."""
        found: list[LabelLogits] = []
        for begin in range(0, len(prompts), _SENT):
            self._ticket.check()
            some = prompts[begin : begin + _SENT]
            found += self.engine.label_logits(some, labels)
            self._ticket.charge(read=sum(len(prompt.ids) for prompt in some))
        self.work += work_of_reading(prompts) + Work(projected=len(prompts))
        return found

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        """See `Engine`."""
        self._ticket.check()
        before = self._ticket.written

        def between(texts: Any) -> frozenset[int]:
            self._ticket.check()
            self._ticket.charge(written=before + sum(map(len, texts.values())) - self._ticket.written)
            for place, ids in texts.items():
                if self._ticket.told is not None:
                    self._ticket.told(place, ids)
            return frozenset()

        found = Texts(self.engine, sampling, end).write(prompts, between)
        self.work += _written(prompts, found)
        return found


class SharedHead:
    """One request's way to a head that it shares with others."""

    def __init__(self, engine: HeadEngine, encoder: PairEncoder, scheduler: Scheduler, ticket: Ticket) -> None:
        """`encoder` makes the request's pairs."""
        self.head = Head(engine.head.model, encoder)
        self.work = Work()
        self._engine = engine
        self._scheduler = scheduler
        self._ticket = ticket

    @property
    def device(self) -> str:
        """See `Working`."""
        return self._engine.device

    def flops(self, work: Work) -> float | None:
        """See `Working`."""
        return self._engine.flops(work)

    def scores(self, pairs: Sequence[Pair]) -> list[float]:
        """See `HeadEngine`."""
        found = self._scheduler.ask(self._ticket, Pairs(self._engine), pairs)
        self.work += Work(tokens_read=sum(len(pair.ids) for pair in pairs))
        return found


def shared(engine: Engine, scheduler: Scheduler | None, ticket: Ticket) -> SharedEngine:
    """A request's way to an engine; without a scheduler it is one of servers."""
    if scheduler is None:
        return ServedEngine(engine, _NO_SCHEDULER, ticket)
    kind = SharedGradingEngine if isinstance(engine, Grading) else SharedEngine
    return kind(engine, scheduler, ticket)


def _written(prompts: Sequence[Prompt], found: Sequence[Completion]) -> Work:
    """What writing texts behind the prompts took."""
    return work_of_reading(prompts) + work_of_writing(prompts, [len(item.ids) + item.finished for item in found])


_NO_SCHEDULER: Any = None
