"""The tokens and seconds that one query may take: tokens as the engine counts them, seconds by the pace so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from interank.engines.protocol import Engine

# One document tells the pace; each round after it may take twice as many, so that a wrong guess costs little.
_GROWTH = 2


class ComputeBudget:
    """Admits work as long as its upper bound fits in what is left, and sees what it really took."""

    def __init__(
        self, engine: Engine, tokens: int | None, seconds: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._work = engine.work
        self._tokens = tokens
        self._seconds = seconds
        self._clock = clock
        self._started = clock()
        # By kind of work the slowest round's seconds for a token of its bound, and how many the next one may hold.
        self._pace: dict[str, float] = {}
        self._round: dict[str, int] = {}

    @property
    def spent(self) -> int:
        """Tokens read and written since it was opened."""
        done = self._engine.work - self._work
        return done.tokens_read + done.tokens_written

    def admits(self, kind: str, bounds: Sequence[int], shared: int = 0) -> int:
        """How many of the next pieces of work, each of at most so many tokens, can be had together.

        `shared` is what they take once, however many they are.
        """
        count = len(bounds) if self._tokens is None else _fitting(bounds, self._tokens - self.spent - shared)
        if self._seconds is None:
            return count
        left = self._seconds - (self._clock() - self._started)
        if left <= 0:
            return 0
        count = min(count, self._round.get(kind, 1))
        pace = self._pace.get(kind)
        return count if not pace else min(count, _fitting(bounds, left / pace - shared))

    def take(self, kind: str, bounds: Sequence[int], work: Callable[[], None]) -> None:
        """Do admitted work and keep its pace."""
        started = self._clock()
        work()
        pace = (self._clock() - started) / max(1, sum(bounds))
        self._pace[kind] = max(pace, self._pace.get(kind, 0.0))
        self._round[kind] = len(bounds) * _GROWTH


def _fitting(bounds: Sequence[int], room: float) -> int:
    """How many of the first bounds the room holds together."""
    for count, bound in enumerate(bounds):
        room -= bound
        if room < 0:
            return count
    return len(bounds)
