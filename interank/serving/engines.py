"""Per-request engines, whose calls go through the scheduler to be batched with those of other requests."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from interank.engines.head_engine import HeadEngine
from interank.engines.heads import Head
from interank.engines.pairs import Pair, PairEncoder
from interank.engines.prompts import Prompt
from interank.engines.protocol import Ability, Completion, Engine, ForcedLabels, Grading, LabelLogits, Sampling
from interank.engines.side_by_side import AdapterEngine
from interank.engines.transformers import TransformersEngine
from interank.engines.tree.pieces import Beginning
from interank.engines.work import Work, work_of_reading, work_of_writing
from interank.errors import ModelError, PromptError
from interank.serving.backlog import Ticket
from interank.serving.operations import Between, Size
from interank.serving.requests import Refusal
from interank.serving.schedule import Scheduler

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""Seconds until model servers that failed are asked again."""
# Tokens per call of an engine that cannot be interrupted, and prompts per call to servers.
_PIECE = 16
_SENT = 32


def _size(prompt: Prompt, beginning: Beginning | None = None) -> Size:
    """The tokens of a prompt, without a beginning that has been read."""
    read = len(beginning.ids) if beginning is not None and beginning.begins(prompt.prefix) else 0
    return Size(prompt.prefix, len(prompt.prefix) - read, len(prompt.document) + len(prompt.suffix))


@dataclass(frozen=True)
class Labels:
    """Computes the labels' logits after prompts."""

    engine: Engine
    labels: tuple[int, ...]

    def size(self, item: Prompt) -> Size:
        """See `Operation`."""
        if isinstance(self.engine, TransformersEngine | AdapterEngine):
            return _size(item, self.engine.beginning)
        return _size(item)

    def compute(self, items: Sequence[Prompt]) -> list[LabelLogits]:
        """See `Operation`."""
        return self.engine.label_logits(items, self.labels)


@dataclass(frozen=True)
class Pairs:
    """Computes a head's logits of pairs."""

    engine: HeadEngine

    def size(self, item: Pair) -> Size:
        """See `Operation`."""
        return Size(None, 0, len(item.ids))

    def compute(self, items: Sequence[Pair]) -> list[float]:
        """See `Operation`."""
        return self.engine.scores(items)


@dataclass(frozen=True)
class Texts:
    """Generates completions of prompts."""

    engine: Engine
    sampling: Sampling
    end: int

    @property
    def mixes(self) -> bool:
        """Whether calls may share a batch: only if greedy, as a sampled text may depend on the others in its batch."""
        return self.sampling.temperature == 0

    def size(self, item: Prompt) -> Size:
        """See `GeneratingOperation`."""
        return _size(item)

    def write(self, items: Sequence[Prompt], between: Between) -> list[Completion]:
        """See `GeneratingOperation`."""
        with _interrupted(self.engine, between) as inside:
            if inside or not self.mixes:
                return self.engine.generate(items, self.sampling, end=self.end)
            return self._in_pieces(items, between)

    def _in_pieces(self, items: Sequence[Prompt], between: Between) -> list[Completion]:
        """Generate a few tokens per call, with the tokens so far appended to the prompts."""
        completions = [Completion((), (), False)] * len(items)
        rest = dict.fromkeys(range(len(items)), self.sampling.max_new_tokens)
        while rest:
            prompts = [items[place].then(completions[place].ids) for place in rest]
            some = replace(self.sampling, max_new_tokens=min(_PIECE, min(rest.values())))
            for place, piece in zip(list(rest), self.engine.generate(prompts, some, end=self.end), strict=True):
                before = completions[place]
                ids, logprobs = before.ids + piece.ids, before.logprobs + piece.logprobs
                completions[place] = Completion(ids, logprobs, piece.finished)
                rest[place] -= some.max_new_tokens
                if piece.finished or rest[place] <= 0:
                    del rest[place]
            for place in between({place: item.ids for place, item in enumerate(completions)}):
                rest.pop(place, None)
        return completions


@dataclass(frozen=True, eq=False)
class GradedTexts:
    """Generates completions and the grades after them; calls are not batched together, as each has its own `forced`."""

    engine: Any
    sampling: Sampling
    forced: ForcedLabels
    end: int

    @property
    def mixes(self) -> bool:
        """See `GeneratingOperation`."""
        return False

    def size(self, item: Prompt) -> Size:
        """See `GeneratingOperation`."""
        return _size(item)

    def write(self, items: Sequence[Prompt], between: Between) -> list[tuple[Completion, LabelLogits]]:
        """See `GeneratingOperation`."""
        with _interrupted(self.engine, between):
            graded: list[tuple[Completion, LabelLogits]] = self.engine.generate_graded(
                items, self.sampling, self.forced, end=self.end
            )
        return graded


@contextmanager
def _interrupted(engine: Any, between: Between) -> Iterator[bool]:
    """Have an engine call `between` after each token; yields False if the engine cannot."""
    if not isinstance(engine, TransformersEngine) and not hasattr(engine, "between"):
        yield False
        return
    engine.between = between
    try:
        yield True
    finally:
        engine.between = None


class SharedEngine:
    """One request's engine, which shares a model with other requests through the scheduler."""

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
        logits = self._scheduler.ask(self._ticket, Labels(self.engine, tuple(labels)), prompts)
        self.work += work_of_reading(prompts) + Work(projected=len(prompts))
        return logits

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        """See `Engine`."""
        completions: list[Completion] = self._scheduler.write(self._ticket, Texts(self.engine, sampling, end), prompts)
        self.work += _written(prompts, completions)
        return completions


class SharedGradingEngine(SharedEngine):
    """A shared engine that can also grade after each completion."""

    engine: Any

    @property
    def rereads(self) -> bool:
        """See `Grading`."""
        return bool(self.engine.rereads)

    def generate_graded(
        self, prompts: Sequence[Prompt], sampling: Sampling, asked: ForcedLabels, *, end: int
    ) -> list[tuple[Completion, LabelLogits]]:
        """See `Grading`."""
        operation = GradedTexts(self.engine, sampling, asked, end)
        graded: list[tuple[Completion, LabelLogits]] = self._scheduler.write(self._ticket, operation, prompts)
        self.work += _written(prompts, [item for item, _ in graded])
        return graded


class ServedEngine(SharedEngine):
    """One request's engine on model servers, which batch requests themselves; sends a few prompts at a time."""

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        """See `Engine`."""
        logits: list[LabelLogits] = []
        for begin in range(0, len(prompts), _SENT):
            self._ticket.check()
            some = prompts[begin : begin + _SENT]
            with _reachable():
                logits += self.engine.label_logits(some, labels)
            self._ticket.charge(read=sum(len(prompt.ids) for prompt in some))
        self.work += work_of_reading(prompts) + Work(projected=len(prompts))
        return logits

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        """See `Engine`."""
        self._ticket.check()
        before = self._ticket.written

        def between(texts: Any) -> frozenset[int]:
            self._ticket.check()
            self._ticket.charge(written=before + sum(map(len, texts.values())) - self._ticket.written)
            for place, ids in texts.items():
                if self._ticket.on_text is not None:
                    self._ticket.on_text(place, ids)
            return frozenset()

        with _reachable():
            completions = Texts(self.engine, sampling, end).write(prompts, between)
        self.work += _written(prompts, completions)
        return completions


@contextmanager
def _reachable() -> Iterator[None]:
    """Refuse the request if all model servers fail, whose addresses only the log tells."""
    try:
        yield
    except PromptError:
        raise
    except ModelError as error:
        log.error("%s", error)
        message = "no server of the model answers; retry later"
        raise Refusal("unavailable", message, retry_after=RETRY_SECONDS) from error


class SharedHead:
    """One request's head, which shares a model with other requests through the scheduler."""

    def __init__(self, engine: HeadEngine, encoder: PairEncoder, scheduler: Scheduler, ticket: Ticket) -> None:
        """Wrap a head; `encoder` encodes the request's pairs."""
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
        scores = self._scheduler.ask(self._ticket, Pairs(self._engine), pairs)
        self.work += Work(tokens_read=sum(len(pair.ids) for pair in pairs))
        return scores


def shared(engine: Engine, scheduler: Scheduler | None, ticket: Ticket) -> SharedEngine:
    """A request's engine; without a scheduler, `engine` is one of model servers."""
    if scheduler is None:
        return ServedEngine(engine, _NO_SCHEDULER, ticket)
    kind = SharedGradingEngine if isinstance(engine, Grading) else SharedEngine
    return kind(engine, scheduler, ticket)


def _written(prompts: Sequence[Prompt], completions: Sequence[Completion]) -> Work:
    """The work of generating completions of the prompts."""
    return work_of_reading(prompts) + work_of_writing(prompts, [len(item.ids) + item.finished for item in completions])


_NO_SCHEDULER: Any = None
