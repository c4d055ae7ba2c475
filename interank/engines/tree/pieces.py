"""Texts as one tree that is read in pieces; only the keys and values on the path to the next piece are kept."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from interank.engines.tree.prefix_tree import ROOT, Ids, PrefixTree, Row, Trunk
from interank.errors import TrainingError

# The most ends of texts in a piece, each of which has logits of the whole vocabulary.
_MOST_ENDS = 256
_States = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens that go through the layers together, from the place `start` of the whole row on.

    Before them is a path: trunks are in depth-first order, so the beginning of the first token's text holds all that
    any of them sees. A trunk's `after` counts places of this path. `ends` are the texts that end in the piece, in the
    order of `tree.scored`. The path to the next piece is the first `stays` places of this one, then the piece's own
    places `joins`.
    """

    tree: PrefixTree
    start: int
    ends: tuple[Ids, ...]
    stays: int
    joins: tuple[slice, ...]


class Store(Protocol):
    """Provides the keys and values that a piece needs, and takes its own; each (1, heads, tokens, size)."""

    def before(self, layer: int) -> _States | None:
        """The keys and values of the path to the piece; None if it is empty."""
        ...

    def take(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """Take the piece's keys and values; called once for each layer, after its attention."""
        ...


class Beginning:
    """The beginning of later texts, with its keys and values by layer; the store of the piece that reads it."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self.layers: dict[int, _States] = {}

    def begins(self, text: Ids) -> bool:
        """Whether a text begins with it and goes on."""
        return len(text) > len(self.ids) and text[: len(self.ids)] == self.ids

    def before(self, layer: int) -> None:
        """See `Store`."""

    def take(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """See `Store`."""
        # Copied, because views would keep queries in memory where a model computes all three at once.
        self.layers[layer] = key.clone(), value.clone()


class Path:
    """The store of texts that are only read: it holds the path to the next piece."""

    def __init__(self, beginning: Beginning | None = None) -> None:
        """Begin at the start of all texts, or after their common beginning."""
        self._piece: Piece | None = None
        self._layers: dict[int, _States] = {} if beginning is None else dict(beginning.layers)
        self._taken: set[int] = set()

    def turn(self, piece: Piece) -> None:
        """Go to the next piece."""
        self._piece = piece
        self._taken.clear()

    def before(self, layer: int) -> _States | None:
        """See `Store`."""
        return self._layers.get(layer)

    def take(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """See `Store`."""
        assert self._piece is not None
        if layer in self._taken:
            raise TrainingError(f"layer {layer} attends twice, so shared prefixes cannot be computed once")
        self._taken.add(layer)
        stays, joins = self._piece.stays, self._piece.joins
        before = self._layers.pop(layer, (key[:, :, :0], value[:, :, :0]))
        if stays or joins:
            # Copied, because views would keep whole tensors in memory.
            self._layers[layer] = (
                torch.cat([before[0][:, :, :stays], *(key[:, :, own] for own in joins)], 2),
                torch.cat([before[1][:, :, :stays], *(value[:, :, own] for own in joins)], 2),
            )


class TextTree:
    """Different texts as one tree, which is read in pieces; the order of the texts changes nothing."""

    def __init__(self, texts: Iterable[Ids], read: int = 0) -> None:
        """Build the tree of texts whose first `read` tokens are equal, and are in the store already.

        Raises:
            ValueError: One has no more tokens than that.
        """
        texts = sorted(set(texts))
        if any(len(text) <= read for text in texts):
            raise ValueError("a text without a token has no end to be read")
        self._row = Row()
        # In this order texts with a common prefix follow each other.
        self._trunks = dict(self._row.grow(texts, read, ROOT))

    def pieces(self, tokens: int, device: torch.device) -> Iterator[Piece]:
        """All texts, in pieces of so many tokens at most."""
        row = self._row
        ends = {row.trunks[trunk].end - 1: text for text, trunk in self._trunks.items()}
        places, starts = sorted(ends), [trunk.start for trunk in row.trunks]
        start = 0
        while start < len(row.ids):
            stop = min(start + tokens, len(row.ids))
            own = places[bisect_left(places, start) : bisect_left(places, stop)]
            if len(own) > _MOST_ENDS:
                own = own[:_MOST_ENDS]
                stop = own[-1] + 1
            numbers = range(bisect_right(starts, start) - 1, bisect_left(starts, stop))
            tree = _cut(row, start, stop, numbers, own, device)
            stays, joins = _kept(row, start, stop, bisect_right(starts, stop) - 1)
            yield Piece(tree, start, tuple(ends[place] for place in own), stays, joins)
            start = stop

    def spans(self, text: Ids) -> list[tuple[int, int]]:
        """The spans of the row (first place, place after the last) that make up a text, in its order."""
        spans, number = [], self._trunks[text]
        while number != ROOT:
            trunk = self._row.trunks[number]
            spans.append((trunk.start, trunk.end))
            number = trunk.parent
        return spans[::-1]


def _cut(row: Row, start: int, stop: int, numbers: range, scored: Sequence[int], device: torch.device) -> PrefixTree:
    """The tree of a row's places `start` to `stop`, which hold its trunks `numbers`, whole or in part."""
    trunks = []
    for number in numbers:
        whole = row.trunks[number]
        first = max(whole.start, start)
        # A trunk that begins before the piece has its own beginning in the path.
        inside = whole.parent >= numbers.start and whole.start >= start
        parent, after = (whole.parent - numbers.start, 0) if inside else (ROOT, row.positions[first])
        trunks.append(Trunk(first - start, min(whole.end, stop) - start, parent, after))
    nothing = torch.empty(0, dtype=torch.long, device=device)
    return PrefixTree(
        ids=torch.tensor([row.ids[start:stop]], device=device, dtype=torch.long),
        positions=torch.tensor([row.positions[start:stop]], device=device, dtype=torch.long),
        trunks=tuple(trunks),
        leaves=(),
        scored=torch.tensor([place - start for place in scored], device=device, dtype=torch.long),
        labels=nothing,
        predictions=nothing,
    )


def _kept(row: Row, start: int, stop: int, number: int) -> tuple[int, tuple[slice, ...]]:
    """The path to `stop`, in the trunk `number`: how many places of the path to `start`, and which after `start`."""
    if stop == len(row.ids):
        return 0, ()
    slices = []
    while number != ROOT and row.trunks[number].end > start:
        trunk = row.trunks[number]
        first, last = max(trunk.start, start), min(trunk.end, stop)
        if first < last:
            slices.append(slice(first - start, last - start))
        number = trunk.parent
    return row.positions[stop] - sum(part.stop - part.start for part in slices), tuple(reversed(slices))
