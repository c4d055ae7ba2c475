"""The tokens and seconds that one query may take: tokens as the engine counts them, seconds by the pace so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from interank.engines.protocol import Engine

# The first round has one document to measure the pace; each next round may have twice as many.
_GROWTH = 2


class ComputeBudget:
    """Admits work whose upper bound fits into what is left of the budget, and measures its actual cost."""

    def __init__(
        self, engine: Engine, tokens: int | None, seconds: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._work = engine.work
        self._tokens = tokens
        self._seconds = seconds
        self._clock = clock
        self._started = clock()
        # By kind of work: the slowest round's seconds per token of its bound, and the size of the next round.
        self._pace: dict[str, float] = {}
        self._round: dict[str, int] = {}

    @property
    def spent(self) -> int:
        """Tokens read and written since the budget was opened."""
        done = self._engine.work - self._work
        return done.tokens_read + done.tokens_written

    def admits(self, kind: str, bounds: Sequence[int], shared: int = 0) -> int:
        """The number of next pieces of work that fit into the budget together.

        `bounds` are the pieces' upper bounds in tokens; `shared` is the bound of what they take once, together.
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
        """Do admitted work and record its pace."""
        started = self._clock()
        work()
        pace = (self._clock() - started) / max(1, sum(bounds))
        self._pace[kind] = max(pace, self._pace.get(kind, 0.0))
        self._round[kind] = len(bounds) * _GROWTH


def _fitting(bounds: Sequence[int], room: float) -> int:
    """The number of leading bounds whose sum fits into the room."""
    for count, bound in enumerate(bounds):
        room -= bound
        if room < 0:
            return count
    return len(bounds)
