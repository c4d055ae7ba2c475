"""Estimates in words: how long so many operations take on this machine, what that costs, and how large files are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from interank.engines.models import compute_dtype, device

READ, LEARN = 2, 4
"""Operations a weight of a token that passes through the layers, and of its way back, on which the gradients of the
base's own weights are saved."""
# A training or a ranking seldom reaches more of the speed at which large matrices are multiplied.
_ACHIEVED = 0.5
_SIDE = 1024


def time_of(what: str, operations: float) -> str:
    """How long `what` takes, and by which figures."""
    reached = speed()
    return (
        f"time: about {span(operations / reached)} ({what}: {operations:.2g} operations at {reached / 1e9:.0f} "
        f"GFLOP/s, half of what this {device()} reached just now)"
    )


def rent(price: float | None = None, seconds: float = 0.0) -> str:
    """What so many seconds cost at a price an hour."""
    if price is None:
        return "money: the machine's hours, whose price is not set"
    return f"money: about {price * seconds / 3600:.2f} for the machine's time"


@cache
def speed() -> float:
    """Operations a second that a training or a ranking may reach here."""
    left = torch.ones(_SIDE, _SIDE, dtype=compute_dtype(), device=device())
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        float((left @ left)[0, 0])
        taken.append(time.perf_counter() - started)
    return _ACHIEVED * 2 * _SIDE**3 / min(taken)


def epochs_of(rows: int, trainer: Mapping[str, Any]) -> tuple[int, float]:
    """How many steps a pass over so many rows takes, and how many passes the trainer's fields ask for."""
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
    """Those of a file, or of all files in a folder."""
    files = [path] if path.is_file() else (each for each in path.rglob("*") if each.is_file())
    return sum(each.stat().st_size for each in files)


def size_of(path: Path) -> str:
    """How large a file or folder is; a name that is no path has no size."""
    if not path.exists():
        return "not a path here: a name, which the stage looks up or fetches"
    size = bytes_of(path)
    return f"{size / 10**6:.1f} MB" if size >= 10**5 else f"{size} bytes"
