"""The engine of a pointwise head: counts its work, and activates its adapter where several share a base."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from interank.engines.heads import Head, scores
from interank.engines.pairs import Pair
from interank.engines.work import Work, flops, positions_attended


class HeadEngine:
    """Scores pairs with one head; engines whose heads share a base share its lock as well."""

    def __init__(self, head: Head, *, adapter: str | None = None, lock: threading.RLock | None = None) -> None:
        """Take a loaded head, and the name of its adapter where several share its base."""
        self.head = head
        self.work = Work()
        self.adapter = adapter
        self._lock = lock or threading.RLock()

    @property
    def model(self) -> Any:
        """The model with whatever adapters it has."""
        return self.head.model

    @property
    def device(self) -> str:
        """See `Working`."""
        return str(self.model.device.type)

    def flops(self, work: Work) -> float | None:
        """See `Working`."""
        return flops(self.model.config, work)

    def scores(self, pairs: Sequence[Pair]) -> list[float]:
        """The pairs' logits, in their order."""
        with self._lock:
            if self.adapter is not None:
                self.model.set_adapter(self.adapter)
            logits = scores(self.head, pairs)
        lengths = [len(pair.ids) for pair in pairs]
        self.work += Work(tokens_read=sum(lengths), attended=sum(positions_attended(0, count) for count in lengths))
        return [float(score) for score in logits]
