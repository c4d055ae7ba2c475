"""Prompts and completions of a batch as one tree of tokens, in which what several share is computed once, exactly.

Every token is run once, after all tokens that it depends on: a query's beginning for all its documents, a prompt for
all its completions. Only attention needs to know: a segment of the tree attends to the segments on its path and,
causally, to itself. Everything else in a transformer looks at one token at a time, so it runs on one row without
padding, and autograd sums the gradients of what is shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

Ids = tuple[int, ...]

# Prompts with fewer tokens in common are cheaper to compute separately than to cut into more segments.
SHORTEST_SHARED = 32
ROOT = -1
"""The parent of a trunk that follows no other."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """A piece of prompt: places `start` to `end` of the row, after the trunk `parent`.

    With the parent `ROOT` it follows the first `after` places of the path read before the row.
    """

    start: int
    end: int
    parent: int
    after: int = 0


@dataclass(frozen=True, slots=True)
class Leaves:
    """The different completions of one prompt, places `start` to `end` of the row, after the trunk `parent`.

    `spans` has the places of each, from and to. `padded` holds them too, of shape (completions, longest), the last one
    repeated where a completion is shorter; `real` the indices into the flat `padded` that are no repetition, or None if
    all are real.
    """

    start: int
    end: int
    parent: int
    spans: tuple[tuple[int, int], ...]
    padded: torch.Tensor
    real: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class PrefixTree:
    """A batch as one row of tokens, depth first: `ids` and `positions` of shape (1, tokens).

    The logits after the places `scored` predict `labels`, both of shape (predictions,): completions only.
    `predictions` has the index of the prediction for each row of the batch and place in its completion, of shape
    (batch, longest completion), with -1 where a completion has no token.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    trunks: tuple[Trunk, ...]
    leaves: tuple[Leaves, ...]
    scored: torch.Tensor
    labels: torch.Tensor
    predictions: torch.Tensor


def plant(rows: Sequence[tuple[Ids, Ids]], width: int, device: torch.device) -> PrefixTree:
    """The tree of (prompt, completion) rows, whose `predictions` are `width` wide; an empty completion is not run."""
    bunches: dict[Ids, dict[Ids, list[int]]] = {}
    for number, (prompt, completion) in enumerate(rows):
        if completion:
            bunches.setdefault(prompt, {}).setdefault(completion, []).append(number)
    row = Row()
    # A prompt's last token belongs to its completions: what follows it differs, and each place predicts one label.
    stems: dict[Ids, list[Ids]] = {}
    for prompt in bunches:
        stems.setdefault(prompt[:-1], []).append(prompt)
    predictions = torch.full((len(rows), width), -1)
    leaves = []
    for stem, parent in row.grow(list(stems), 0, ROOT):
        # At once, before the next trunk is written.
        leaves += [_append_leaves(row, prompt, bunches[prompt], parent, predictions, device) for prompt in stems[stem]]
    return PrefixTree(
        ids=torch.tensor([row.ids], device=device, dtype=torch.long),
        positions=torch.tensor([row.positions], device=device, dtype=torch.long),
        trunks=tuple(row.trunks),
        leaves=tuple(leaves),
        scored=torch.tensor(row.scored, device=device, dtype=torch.long),
        labels=torch.tensor(row.labels, device=device, dtype=torch.long),
        predictions=predictions.to(device),
    )


def plant_sequences(rows: Sequence[tuple[Ids, Ids]], width: int, device: torch.device) -> PrefixTree:
    """The tree of (prompt, answer) rows in which answers are part of the trunks; `width` as for `plant`.

    It is for rows whose prompts mostly have one answer: each then has one segment less, and common beginnings of
    answers are shared too. Each place may predict several labels.
    """
    row = Row()
    sequences = dict.fromkeys((*prompt, *answer[:-1]) for prompt, answer in rows if answer)
    ends = dict(row.grow(list(sequences), 0, ROOT))
    known: dict[tuple[int, int], int] = {}
    predictions = torch.full((len(rows), width), -1)
    for number, (prompt, answer) in enumerate(rows):
        if answer:
            places = row.places(ends[(*prompt, *answer[:-1])])[-len(answer) :]
            own = [known.setdefault(pair, len(known)) for pair in zip(places, answer, strict=True)]
            predictions[number, : len(answer)] = torch.tensor(own)
    return PrefixTree(
        ids=torch.tensor([row.ids], device=device, dtype=torch.long),
        positions=torch.tensor([row.positions], device=device, dtype=torch.long),
        trunks=tuple(row.trunks),
        leaves=(),
        scored=torch.tensor([place for place, _ in known], device=device, dtype=torch.long),
        labels=torch.tensor([label for _, label in known], device=device, dtype=torch.long),
        predictions=predictions.to(device),
    )


def sequences_size(rows: Iterable[tuple[Ids, Ids]]) -> tuple[int, int]:
    """The tokens of `plant_sequences`' tree, and the keys that its attention lays out: the lengths of all paths."""
    row = Row()
    sequences = dict.fromkeys((*prompt, *answer[:-1]) for prompt, answer in rows if answer)
    for _ in row.grow(list(sequences), 0, ROOT):
        pass
    return len(row.ids), sum(row.positions[trunk.end - 1] + 1 for trunk in row.trunks)


@dataclass
class Row:
    """A tree's row of tokens while it is written."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    trunks: list[Trunk] = field(default_factory=list)
    scored: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def append(self, ids: Sequence[int], position: int) -> tuple[int, int]:
        """Append a segment; its first place and the one after its last."""
        start = len(self.ids)
        self.ids += ids
        self.positions += range(position, position + len(ids))
        return start, len(self.ids)

    def places(self, trunk: int) -> list[int]:
        """The places of the path that ends with a trunk."""
        if trunk == ROOT:
            return []
        last = self.trunks[trunk]
        return [*self.places(last.parent), *range(last.start, last.end)]

    def grow(self, prompts: Sequence[Ids], depth: int, parent: int) -> Iterator[tuple[Ids, int]]:
        """Append the trunks of different prompts that agree up to `depth`; each prompt with the trunk it ends in."""
        alike: dict[Ids, list[Ids]] = {}
        for prompt in prompts:
            alike.setdefault(prompt[depth : depth + SHORTEST_SHARED], []).append(prompt)
        for first, members in alike.items():
            if not first:
                yield members[0], parent
                continue
            # Different prompts that are alike here agree in SHORTEST_SHARED tokens; with less left they would be one.
            shared = _agreement(members) if len(members) > 1 else len(members[0])
            start, end = self.append(members[0][depth:shared], depth)
            self.trunks.append(Trunk(start, end, parent))
            trunk = len(self.trunks) - 1
            if len(members) > 1:
                yield from self.grow(members, shared, trunk)
            else:
                yield members[0], trunk


def _append_leaves(
    row: Row,
    prompt: Ids,
    completions: Mapping[Ids, Sequence[int]],
    parent: int,
    predictions: torch.Tensor,
    device: torch.device,
) -> Leaves:
    """Append a prompt's last token with each of its completions, and enter their predictions in `predictions`."""
    start = len(row.ids)
    spans = [row.append((prompt[-1], *ids[:-1]), len(prompt) - 1) for ids in completions]
    for (first, last), (ids, numbers) in zip(spans, completions.items(), strict=True):
        predictions[list(numbers), : len(ids)] = torch.arange(len(row.labels), len(row.labels) + len(ids))
        row.scored += range(first, last)
        row.labels += ids
    padded, real = _padded(spans)
    return Leaves(
        start,
        len(row.ids),
        parent,
        tuple(spans),
        padded.to(device),
        real.to(device) if real is not None else None,
    )


def _agreement(prompts: Sequence[Ids]) -> int:
    """The length of the common prefix."""
    low, high = min(prompts), max(prompts)
    return next(
        (place for place, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high))
    )


def _padded(spans: Sequence[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor | None]:
    width = max(end - start for start, end in spans)
    places = torch.arange(width)
    lengths = torch.tensor([end - start for start, end in spans])[:, None]
    starts = torch.tensor([start for start, _ in spans])[:, None]
    padded = starts + torch.minimum(places, lengths - 1)
    short = bool((lengths < width).any())
    return padded, (places < lengths).flatten().nonzero()[:, 0] if short else None
