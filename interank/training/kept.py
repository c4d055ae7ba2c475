"""Long work in numbered parts, each kept on disk as it comes, so that what a kill left is not done again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from interank.ledger import Ledger
from interank.progress import track

Part = TypeVar("Part")
_FOUND = "found"


def kept(ledger: Ledger, parts: Sequence[Part], do: Callable[[int, Part], Any], *, what: str) -> Iterator[Any]:
    """What each part gives, in their order, one at a time: from the ledger, or done now and put there.

    Args:
        ledger: Holds the first parts' results, those that were done before.
        parts: The same each time.
        do: Gets a part's number and the part; what it gives is as JSON has it: lists, no tuples.
        what: For the progress bar.
    """
    done = 0
    for row in ledger.each():
        done += 1
        yield row[_FOUND]
    left = list(enumerate(parts))[done:]
    for number, part in track(left, what=what, unit="parts", total=len(parts), done=done):
        found = do(number, part)
        ledger.append([{"part": number, _FOUND: found}])
        yield found


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
