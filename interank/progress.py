"""Progress bars with rate and time left, on standard error; silent where the log is."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def shown() -> bool:
    """Whether progress is wanted: not under --quiet, which raises the level of the package's log."""
    return logging.getLogger("interank").isEnabledFor(logging.INFO)


def track(items: Iterable[T], *, what: str, unit: str, total: int, done: int = 0) -> Iterable[T]:
    """Pass the items through, showing how many of `total` are done; `done` were done before."""
    return tqdm(items, desc=what, unit=f" {unit}", total=total, initial=done, disable=not shown(), dynamic_ncols=True)
