"""Long work in numbered parts whose results are stored as they come, so that none is computed again after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from interank import distributed
from interank.ledger import Ledger
from interank.progress import track

Part = TypeVar("Part")
_RESULT = "found"


def kept(
    ledger: Ledger, parts: Iterable[Part], do: Callable[[int, Part], Any], *, what: str, total: int
) -> Iterator[tuple[Part, Any]]:
    """Each part with its result, one at a time: from the ledger, or computed now and stored there.

    Args:
        ledger: Holds the results of the first parts, those computed before.
        parts: The same parts in every run.
        do: Computes a part from its number and itself; the result is plain JSON, with lists and no tuples.
        what: The progress bar's label.
        total: The number of parts.
    """
    # The first process reads the ledger; all compute the missing parts together.
    rows = ledger.each() if distributed.first() else iter(())
    for number, part in enumerate(track(parts, what=what, unit="parts", total=total)):
        row = distributed.same(next(rows, None))
        if row is not None:
            yield part, row[_RESULT]
            continue
        result = do(number, part)
        if distributed.first():
            ledger.append([{"part": number, _RESULT: result}])
        distributed.barrier()
        yield part, result


def results(ledger: Ledger) -> Iterator[Any]:
    """The results of the parts computed so far, one at a time."""
    return (row[_RESULT] for row in ledger.each())


def is_whole(ledger: Ledger, parts: Sequence[Any]) -> bool:
    """Whether every part has a result."""
    return sum(1 for _ in ledger.each()) == len(parts)


def together(items: Sequence[Part], size: Callable[[Part], int], most: int) -> list[list[Part]]:
    """The items in order, cut into parts of a size of about `most`, each with at least one item."""
    parts: list[list[Part]] = []
    room = 0
    for item in items:
        if room <= 0:
            parts.append([])
            room = most
        parts[-1].append(item)
        room -= size(item)
    return parts
