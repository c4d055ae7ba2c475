"""How a function's processor time grows with its input."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# Below it a doubling tells of nothing but the clock.
_LEAST_SECONDS = 0.05
# Quadratic time would be 16 for two doublings; what is linear is 4, and caches and garbage add to that.
_MOST = 10.0


def is_linear(function: Callable[[Any], object], made: Callable[[int], Any], size: int) -> bool:
    """Whether four times the input takes less than ten times as long; the quickest of three tries each."""
    small, large = (_seconds(function, made(times * size)) for times in (1, 4))
    return large < _LEAST_SECONDS or large / small < _MOST


def _seconds(function: Callable[[Any], object], value: Any) -> float:
    tries = []
    for _ in range(3):
        start = time.process_time()
        function(value)
        tries.append(time.process_time() - start)
        if tries[-1] < _LEAST_SECONDS:
            break
    return min(tries)
