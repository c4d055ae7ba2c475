"""What the scheduler batches: operations that compute results of items, or generate texts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Size(NamedTuple):
    """The tokens of an item in a step; `shared_tokens` count once for all items with an equal `shared`."""

    shared: Hashable
    shared_tokens: int
    own_tokens: int


class Operation(Protocol):
    """An operation that computes results of items; items of equal operations are batched together."""

    def size(self, item: Any) -> Size:
        """The tokens of an item in a step."""
        ...

    def compute(self, items: Sequence[Any]) -> list[Any]:
        """The items' results, in their order."""
        ...


Between = Callable[[Mapping[int, Sequence[int]]], frozenset[int]]
"""Called between tokens with each prompt's token ids so far, by index; returns the indices of prompts to stop."""


class GeneratingOperation(Protocol):
    """An operation that generates texts."""

    @property
    def mixes(self) -> bool:
        """True if texts of several calls may share a batch."""
        ...

    def size(self, item: Any) -> Size:
        """The tokens of a prompt, which are read before its text is written."""
        ...

    def write(self, items: Sequence[Any], between: Between) -> list[Any]:
        """The texts, in the order of the items; `between` is called after every token, or every few."""
        ...
