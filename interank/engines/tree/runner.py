"""Runs prompts on causal language models whose attention can follow a tree: in pieces, shared prefixes once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from interank.engines.budget import Budget, cut_apart, held
from interank.engines.cached_batch import CachedBatch
from interank.engines.last_logits import last_logits
from interank.engines.layers import changes_rope
from interank.engines.prompts import Prompt
from interank.engines.tree.attention import inputs, let_follow_trees
from interank.engines.tree.pieces import Path, Piece, Store, TextTree
from interank.engines.tree.prefix_tree import Ids


class TreeRunner:
    """Computes the logits after prompts, or generates text after them."""

    def __init__(self, model: Any) -> None:
        self.model = model
        let_follow_trees(model)

    def logits(
        self, prompts: Sequence[Prompt], budget: Budget, labels: Sequence[int]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Batches of places in `prompts` with the vocabulary's logits after each prompt, a row each; see `last_logits`.

        At most one prompt's keys and values are held.
        """
        places: dict[Ids, list[int]] = {}
        for place, prompt in enumerate(prompts):
            places.setdefault(prompt.ids, []).append(place)
        path = Path()
        for piece in self._pieces(places, budget):
            path.turn(piece)
            logits = self._read(piece, path, labels)
            # Equal prompts in separate batches: a row of the vocabulary for each of them would take much memory.
            for turn in range(max((len(places[text]) for text in piece.ends), default=0)):
                rows = [row for row, text in enumerate(piece.ends) if turn < len(places[text])]
                yield [places[piece.ends[row]][turn] for row in rows], logits[rows]

    def states(self, texts: Collection[Ids], budget: Budget) -> Iterator[tuple[Ids, torch.Tensor]]:
        """Each different text with the last layer's hidden state at its end, of shape (width,)."""
        base = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        path = Path()
        for piece in self._pieces({*texts}, budget):
            path.turn(piece)
            states = base.base_model(**inputs(self.model, piece.tree), store=path).last_hidden_state[0]
            yield from zip(piece.ends, states[piece.tree.scored], strict=True)

    def cut(self, prompts: Sequence[Prompt], budget: Budget, room: int) -> Iterator[list[int]]:
        """Batches for generation, as places in `prompts`, with room for `room` new tokens each."""
        return cut_apart(self.model, prompts, budget, held(self.model), room)

    def start(self, prompts: Sequence[Prompt], budget: Budget, room: int) -> CachedBatch:
        """Read prompts for generation in one batch, padded on the left to one length."""
        texts = [prompt.ids for prompt in prompts]
        planted = TextTree(texts)
        rows = _Rows(self.model, texts, planted)
        logits: dict[Ids, torch.Tensor] = {}
        whole = len(texts) == 1 and changes_rope(self.model.config, len(texts[0]))
        for piece in planted.pieces(len(texts[0]) if whole else budget.tokens, self.model.device):
            rows.turn(piece)
            logits |= zip(piece.ends, self._read(piece, rows, ()), strict=True)
        lengths = torch.tensor([len(text) for text in texts], device=self.model.device)[:, None]
        longest = max(map(len, texts))
        mask = (torch.arange(longest, device=self.model.device) >= longest - lengths).long()
        return CachedBatch(self.model, rows.cache, mask, lengths - 1, torch.stack([logits[text] for text in texts]))

    def _pieces(self, texts: Collection[Ids], budget: Budget) -> Iterator[Piece]:
        """All texts as one tree, except those that change rotary frequencies by their length: each alone and whole."""
        long = sorted((text for text in texts if changes_rope(self.model.config, len(text))), key=len)
        if short := {*texts}.difference(long):
            yield from TextTree(short).pieces(budget.tokens, self.model.device)
        for text in long:
            yield from TextTree([text]).pieces(len(text), self.model.device)

    def _read(self, piece: Piece, store: Store, labels: Sequence[int]) -> torch.Tensor:
        """The logits after the texts that end in a piece."""
        return last_logits(
            self.model,
            0,
            labels if piece.ends else (),
            **inputs(self.model, piece.tree),
            store=store,
            logits_to_keep=piece.tree.scored,
        )


class _Rows:
    """The store of texts in generation: their rows in a cache, padded on the left."""

    def __init__(self, model: Any, texts: Sequence[Ids], planted: TextTree) -> None:
        self.cache = DynamicCache(config=model.config)
        self._longest = max(map(len, texts))
        self._spans = [planted.spans(text) for text in texts]
        self._offsets = [self._longest - len(text) for text in texts]
        # Rows of the cache, columns in them, and the places of the piece that are copied there.
        self._copied = (torch.empty(0), torch.empty(0), torch.empty(0))
        self._before: tuple[int, slice] | None = None

    def turn(self, piece: Piece) -> None:
        """Go to the next piece."""
        start, stop = piece.start, piece.start + piece.tree.ids.shape[1]
        copies, self._before = [], None
        for row, (spans, offset) in enumerate(zip(self._spans, self._offsets, strict=True)):
            column = offset
            for first, last in spans:
                places = torch.arange(max(first, start), max(first, start, min(last, stop)))
                copies.append((torch.full_like(places, row), places + column - first, places - start))
                if first <= start < last:
                    self._before = row, slice(offset, column + start - first)
                column += last - first
        device = piece.tree.ids.device
        rows, columns, copied = (torch.cat(parts).to(device) for parts in zip(*copies, strict=True))
        self._copied = rows, columns, copied

    def before(self, layer: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """See `Store`."""
        if self._before is None or layer >= len(self.cache.layers) or not self.cache.layers[layer].is_initialized:
            return None
        row, path = self._before
        own = self.cache.layers[layer]
        return own.keys[row : row + 1, :, path], own.values[row : row + 1, :, path]

    def take(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """See `Store`."""
        if layer >= len(self.cache.layers) or not self.cache.layers[layer].is_initialized:
            keys, values = (
                states.new_zeros(len(self._spans), states.shape[1], self._longest, states.shape[3])
                for states in (key, value)
            )
            self.cache.update(keys, values, layer)
        own, (rows, columns, places) = self.cache.layers[layer], self._copied
        own.keys[rows, :, columns] = key[0, :, places].transpose(0, 1)
        own.values[rows, :, columns] = value[0, :, places].transpose(0, 1)
