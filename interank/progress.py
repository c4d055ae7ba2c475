"""Progress bars with rate and time left, on standard error; silent where the log is."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from interank.wording import counted

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(eq=False)
class _Bar:
    """What is counted while a bar runs."""

    asked: int = 0
    cut: int = 0


_BARS: list[_Bar] = []
_ROOM = "prompt.max_query_tokens of the training recipe, or max_length, decides how much is read"


def shown() -> bool:
    """Whether progress is wanted: not under --quiet, which raises the level of the package's log."""
    return logging.getLogger("interank").isEnabledFor(logging.INFO)


def track(items: Iterable[T], *, what: str, unit: str, total: int, done: int = 0) -> Iterator[T]:
    """Pass the items through, showing how many of `total` are done; `done` were done before."""
    from tqdm import tqdm

    bar = _Bar()
    _BARS.append(bar)
    try:
        yield from tqdm(
            items, desc=what, unit=f" {unit}", total=total, initial=done, disable=not shown(), dynamic_ncols=True
        )
    finally:
        _BARS.remove(bar)
        if bar.cut:
            log.warning(
                "%s: %d of %s (%.0f%%) were read without their ends, for which there is no room; %s",
                what,
                bar.cut,
                counted(bar.asked, "query", "queries"),
                100 * bar.cut / bar.asked,
                _ROOM,
            )


def tell_cut(query_id: str, lost: int) -> None:
    """Say that so many tokens at a query's end were not read: at the end of the bar that runs, or now if none does."""
    if _BARS:
        _BARS[-1].asked += 1
        _BARS[-1].cut += lost > 0
    elif lost:
        log.warning(
            "query %r was read without its last %s, for which there is no room; %s",
            query_id,
            counted(lost, "token"),
            _ROOM,
        )
