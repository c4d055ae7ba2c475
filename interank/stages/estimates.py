"""Estimates in words: the time of a number of operations on this machine, its cost, and the sizes of files."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from interank.engines.models import compute_dtype, device

READ, LEARN = 2, 4
"""Operations per weight and token: of a forward pass, and of forward and backward pass where the base's weights are
frozen and need no gradients."""
# The share of the speed of large matrix products that training and ranking usually reach.
_ACHIEVED = 0.5
_SIDE = 1024


def time_of(what: str, operations: float) -> str:
    """The time that `what` takes, and the figures of the estimate."""
    reached = speed()
    return (
        f"time: about {span(operations / reached)} ({what}: {operations:.2g} operations at {reached / 1e9:.0f} "
        f"GFLOP/s, half of what this {device()} reached just now)"
    )


def rent(price: float | None = None, seconds: float = 0.0) -> str:
    """The cost of so many seconds at a price per hour."""
    if price is None:
        return "money: the machine's hours, whose price is not set"
    return f"money: about {price * seconds / 3600:.2f} for the machine's time"


@cache
def speed() -> float:
    """Operations per second that training or ranking can be expected to reach on this machine."""
    left = torch.ones(_SIDE, _SIDE, dtype=compute_dtype(), device=device())
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        float((left @ left)[0, 0])
        taken.append(time.perf_counter() - started)
    return _ACHIEVED * 2 * _SIDE**3 / min(taken)


def epochs_of(rows: int, trainer: Mapping[str, Any]) -> tuple[int, float]:
    """Steps per epoch for so many rows, and the number of epochs by the trainer's fields."""
    batch = trainer["per_device_train_batch_size"] * trainer["gradient_accumulation_steps"]
    steps = max(1, -(-rows // batch))
    limit = trainer.get("max_steps", -1)
    return steps, limit / steps if limit > 0 else float(trainer["num_train_epochs"])


def span(seconds: float) -> str:
    """Seconds in words."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def bytes_of(path: Path) -> int:
    """The size in bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else (each for each in path.rglob("*") if each.is_file())
    return sum(each.stat().st_size for each in files)


def size_of(path: Path) -> str:
    """The size of a file or folder in words; a name that is no path has none."""
    if not path.exists():
        return "not a path here: a name, which the stage looks up or fetches"
    size = bytes_of(path)
    return f"{size / 10**6:.1f} MB" if size >= 10**5 else f"{size} bytes"
