"""Generation by a dense decoder: each shared prefix is stored and attended to once, finished rows are released."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from interank.engines.budget import Budget, cut, held
from interank.engines.dense import DenseDecoder, Past, Segment
from interank.engines.prompts import Prompt

# Rows of similar length that attend to their own keys in one product.
_ROW_BLOCK = 8
# A row's slot, the place of the part's first token among its own, and the part's tokens.
_Part = tuple[int, int, tuple[int, ...]]


class PackedRunner:
    """Generates text after prompts."""

    def __init__(self, decoder: DenseDecoder) -> None:
        self.decoder = decoder

    def cut(self, prompts: Sequence[Prompt], budget: Budget, room: int) -> Iterator[list[int]]:
        """Batches for generation, as places in `prompts`, with room for `room` new tokens each."""
        return cut(prompts, budget, held(self.decoder.model), room)

    def start(self, prompts: Sequence[Prompt], budget: Budget, room: int) -> PackedBatch:
        """Read prompts for generation in one batch."""
        return PackedBatch(self.decoder, prompts, room, budget.tokens)


class PackedBatch:
    """Texts in generation; a row's values do not depend on its place in the batch."""

    def __init__(self, decoder: DenseDecoder, prompts: Sequence[Prompt], room: int, tokens: int) -> None:
        """Read the prompts, `tokens` tokens at a time, with room for `room` new tokens each."""
        self._decoder, self._tokens = decoder, tokens
        shared = _shared(prompts)
        pasts = {prefix: decoder.keep(prefix, tokens) for prefix in shared}
        segments = [
            Segment(p.document + p.suffix, pasts[p.prefix])
            if p.prefix in pasts and p.document + p.suffix
            else Segment(p.ids)
            for p in prompts
        ]
        # The longest first, so that neighbours, which attend in one product, are similar in length.
        order = sorted(range(len(prompts)), key=lambda i: -len(segments[i].ids))
        lengths = {place: len(segments[place].ids) for place in order}
        self._rows = [_Row(place, segments[place].past, lengths[place], lengths[place]) for place in order]
        self._active = len(order)
        self._groups = self._group()
        longest = max(row.length for row in self._rows) + room
        shape = (len(order), decoder.kv_heads, longest, decoder.size)
        self._keys = [torch.zeros(shape) for _ in range(decoder.depth)]
        self._values = [torch.zeros(shape) for _ in range(decoder.depth)]
        self.logits = decoder.head(self._read([segments[place] for place in order]))

    def _read(self, segments: Sequence[Segment]) -> torch.Tensor:
        """Read the rows' own tokens, the longer ones in parts; the hidden states at their ends."""
        parts = [
            (slot, begin, segment.ids[begin : begin + self._tokens])
            for slot, segment in enumerate(segments)
            for begin in range(0, len(segment.ids), self._tokens)
        ]
        hidden: list[torch.Tensor] = []
        for pack in _packed(parts, self._tokens):
            pasts = [_Written(self, slot, segments[slot].past, begin) for slot, begin, _ in pack]

            def store(layer: int, place: int, k: torch.Tensor, v: torch.Tensor, pasts: list[_Written] = pasts) -> None:
                past = pasts[place]
                own = slice(past.own, past.own + k.shape[1])
                self._keys[layer][past.slot, :, own], self._values[layer][past.slot, :, own] = k, v

            read = [Segment(ids, past if past.length else None) for (_, _, ids), past in zip(pack, pasts, strict=True)]
            ends = [begin + len(ids) == len(segments[slot].ids) for slot, begin, ids in pack]
            hidden.append(self._decoder.read(read, store)[torch.tensor(ends)])
        return torch.cat(hidden)

    @property
    def places(self) -> list[int]:
        """Which prompt each row of `logits` belongs to."""
        return [row.place for row in self._rows[: self._active]]

    def release(self, finished: Iterable[int]) -> None:
        """Drop the rows of the finished prompts at these places; their keys and values stay readable."""
        done = set(finished)
        remaining = self._active - len(done)
        # Only rows in the place of a remaining row are moved.
        free = [slot for slot in range(remaining) if self._rows[slot].place in done]
        moved = [slot for slot in range(remaining, self._active) if self._rows[slot].place not in done]
        for one, other in zip(free, moved, strict=True):
            self._rows[one], self._rows[other] = self._rows[other], self._rows[one]
            for states in (*self._keys, *self._values):
                states[[one, other]] = states[[other, one]]
        self._active = remaining
        self._groups = self._group()

    def own(self, layer: int, slot: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the first `count` of a row's own tokens."""
        return self._keys[layer][slot, :, :count], self._values[layer][slot, :, :count]

    def step(self, tokens: torch.Tensor) -> None:
        """Append a token to each row; `logits` are then those after it."""
        rows = self._rows[: self._active]
        positions = torch.tensor([row.start + row.length for row in rows])
        hidden = self._decoder.step(tokens, positions, self._attend)
        for row in rows:
            row.length += 1
        self.logits = self._decoder.head(hidden)

    def after(self, forced: Sequence[tuple[Sequence[int], int]]) -> tuple[torch.Tensor, list[int]]:
        """The logits after each prompt followed by other tokens.

        Args:
            forced: These tokens for each prompt, and how many of them its completion begins with.

        Returns:
            The logits, a row for each prompt, and how many of its tokens were not read again.
        """
        slots = {row.place: (slot, row) for slot, row in enumerate(self._rows)}
        parts, kept = [], []
        for place, (ids, own) in enumerate(forced):
            slot, row = slots[place]
            # The last token chosen may not have been read yet, and at least one token has to be read.
            count = min(own, row.length - row.prompt, len(ids) - 1)
            kept.append(count)
            parts.append((slot, row.prompt + count, tuple(ids[count:])))
        hidden = [
            self._decoder.read(
                [Segment(ids, _Written(self, slot, self._rows[slot].past, begin)) for slot, begin, ids in pack]
            )
            for pack in _packed(parts, self._tokens)
        ]
        return self._decoder.head(torch.cat(hidden)), kept

    def _attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        count, heads, size = len(q), self._decoder.kv_heads, self._decoder.size
        keys, values = self._keys[layer], self._values[layer]
        ends = torch.tensor([row.length for row in self._rows[:count]])
        keys[torch.arange(count), :, ends] = k
        values[torch.arange(count), :, ends] = v
        # (rows, key heads, queries of a key head, size)
        q = q.view(count, heads, -1, size) * self._decoder.scale
        out, mass = torch.empty_like(q), q.new_empty(*q.shape[:3], 1)
        for begin in range(0, count, _ROW_BLOCK):
            block = slice(begin, min(begin + _ROW_BLOCK, count))
            longest = int(ends[block].max()) + 1
            beyond = torch.arange(longest) > ends[block, None]
            out[block], mass[block] = _partial_attention(
                q[block], keys[block, :, :longest], values[block, :, :longest], beyond[:, None, None]
            )
        for past, slots in self._groups:
            # All rows of a prefix attend to it in one product.
            queries = q[slots].transpose(0, 1).reshape(heads, -1, size)
            seen, weight = _partial_attention(queries, *past.layer(layer))
            seen, weight = (x.view(heads, len(slots), -1, x.shape[-1]).transpose(0, 1) for x in (seen, weight))
            out[slots] = torch.lerp(out[slots], seen, torch.sigmoid(weight - mass[slots]))
        return out.view(count, -1)

    def _group(self) -> list[tuple[Past, torch.Tensor]]:
        """The prefixes of the active rows, each with the slots of its rows."""
        groups: dict[int, tuple[Past, list[int]]] = {}
        for slot, row in enumerate(self._rows[: self._active]):
            if row.past is not None:
                groups.setdefault(id(row.past), (row.past, []))[1].append(slot)
        return [(past, torch.tensor(slots)) for past, slots in groups.values()]


@dataclass(slots=True)
class _Row:
    """A text in generation: its prompt's place, its past, and the number of its own tokens in the prompt and now."""

    place: int
    past: Past | None
    prompt: int
    length: int

    @property
    def start(self) -> int:
        return self.past.length if self.past else 0


@dataclass(frozen=True, slots=True)
class _Written:
    """A row of a batch up to one of its own tokens, as the past of what follows."""

    batch: PackedBatch
    slot: int
    before: Past | None
    own: int

    @property
    def length(self) -> int:
        """See `Past`."""
        return self.own + (self.before.length if self.before else 0)

    def layer(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Past`."""
        keys, values = self.batch.own(index, self.slot, self.own)
        if self.before is None:
            return keys, values
        before = self.before.layer(index)
        return torch.cat([before[0], keys], 1), torch.cat([before[1], values], 1)


def _partial_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, hidden: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention to a part of the keys, and the logarithm of that part's weight."""
    scores = q @ k.transpose(-1, -2)
    if hidden is not None:
        scores.masked_fill_(hidden, float("-inf"))
    weight = scores.logsumexp(-1, keepdim=True)
    return (scores - weight).exp_() @ v, weight


def _shared(prompts: Sequence[Prompt]) -> dict[tuple[int, ...], int]:
    """The prefixes that several prompts share, numbered; a prefix of one prompt is read with the rest of it."""
    counts = Counter(prompt.prefix for prompt in prompts if prompt.prefix)
    return {prefix: number for number, prefix in enumerate(p for p, count in counts.items() if count > 1)}


def _packed(parts: Iterable[_Part], tokens: int) -> Iterator[list[_Part]]:
    """Packs of consecutive parts with at most `tokens` tokens, or of one longer part."""
    pack: list[_Part] = []
    for part in parts:
        if pack and sum(len(ids) for _, _, ids in pack) + len(part[2]) > tokens:
            yield pack
            pack = []
        pack.append(part)
    if pack:
        yield pack
