"""Progress bars with throughput and time left, on standard error; hidden with --quiet."""

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
    """Counts of queries while a bar runs."""

    queries: int = 0
    cut: int = 0


_BARS: list[_Bar] = []
_ROOM = "prompt.max_query_tokens of the training recipe, or max_length, decides how much is read"


def shown() -> bool:
    """Whether progress is shown; --quiet hides it by raising the log level."""
    return logging.getLogger("interank").isEnabledFor(logging.INFO)


def track(items: Iterable[T], *, what: str, unit: str, total: int, done: int = 0) -> Iterator[T]:
    """Yield the items under a progress bar of `total`; `done` were done by an earlier try."""
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
                counted(bar.queries, "query", "queries"),
                100 * bar.cut / bar.queries,
                _ROOM,
            )


def tell_cut(query_id: str, lost: int) -> None:
    """Warn that a query lost tokens at its end: in one warning when the current bar ends, or at once without a bar."""
    if _BARS:
        _BARS[-1].queries += 1
        _BARS[-1].cut += lost > 0
    elif lost:
        log.warning(
            "query %r was read without its last %s, for which there is no room; %s",
            query_id,
            counted(lost, "token"),
            _ROOM,
        )
