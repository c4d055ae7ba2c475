"""Long work in numbered parts, each kept on disk as it comes, so that what a kill left is not done again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from interank import distributed
from interank.ledger import Ledger
from interank.progress import track

Part = TypeVar("Part")
_FOUND = "found"


def kept(
    ledger: Ledger, parts: Iterable[Part], do: Callable[[int, Part], Any], *, what: str, total: int
) -> Iterator[tuple[Part, Any]]:
    """Each part with what it gives, one at a time: from the ledger, or done now and put there.

    Args:
        ledger: Holds the first parts' results, those that were done before.
        parts: The same each time.
        do: Gets a part's number and the part; what it gives is as JSON has it: lists, no tuples.
        what: For the progress bar.
        total: How many parts there are.
    """
    # Of several processes the first knows what is done; the rest they do together.
    rows = ledger.each() if distributed.first() else iter(())
    for number, part in enumerate(track(parts, what=what, unit="parts", total=total)):
        row = distributed.same(next(rows, None))
        if row is not None:
            yield part, row[_FOUND]
            continue
        found = do(number, part)
        if distributed.first():
            ledger.append([{"part": number, _FOUND: found}])
        distributed.barrier()
        yield part, found


def results(ledger: Ledger) -> Iterator[Any]:
    """What the parts gave that are done, one at a time."""
    return (row[_FOUND] for row in ledger.each())


def is_whole(ledger: Ledger, parts: Sequence[Any]) -> bool:
    """Whether every part is done."""
    return sum(1 for _ in ledger.each()) == len(parts)


def together(items: Sequence[Part], size: Callable[[Part], int], most: int) -> list[list[Part]]:
    """The items on end in parts of about `most`, each of at least one item."""
    parts: list[list[Part]] = []
    room = 0
    for item in items:
        if room <= 0:
            parts.append([])
            room = most
        parts[-1].append(item)
        room -= size(item)
    return parts
