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
from interank.engines.tree.pieces import Beginning, Path, Piece, Store, TextTree
from interank.engines.tree.prefix_tree import Ids


class TreeRunner:
    """Computes the logits after prompts, or generates text after them."""

    def __init__(self, model: Any) -> None:
        self.model = model
        let_follow_trees(model)

    def logits(
        self, prompts: Sequence[Prompt], budget: Budget, labels: Sequence[int], beginning: Beginning | None = None
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Batches of places in `prompts` with the vocabulary's logits after each prompt, a row each; see `last_logits`.

        Prompts that begin with `beginning` are read from its end on. Besides it at most one prompt's keys and values
        are held.
        """
        places: dict[Ids, list[int]] = {}
        for place, prompt in enumerate(prompts):
            places.setdefault(prompt.ids, []).append(place)
        for piece, path in self._along(places, budget, beginning):
            logits = self._read(piece, path, labels)
            # Equal prompts in separate batches: a row of the vocabulary for each of them would take much memory.
            for turn in range(max((len(places[text]) for text in piece.ends), default=0)):
                rows = [row for row, text in enumerate(piece.ends) if turn < len(places[text])]
                yield [places[piece.ends[row]][turn] for row in rows], logits[rows]

    def states(self, texts: Collection[Ids], budget: Budget) -> Iterator[tuple[Ids, torch.Tensor]]:
        """Each different text with the last layer's hidden state at its end, of shape (width,)."""
        for piece, path in self._along({*texts}, budget):
            yield from zip(piece.ends, self._states(piece, path)[piece.tree.scored], strict=True)

    def beginning(self, ids: Ids) -> Beginning:
        """A beginning of prompts, read in one piece; it serves as long as the model's weights stay as they are."""
        beginning = Beginning(ids)
        [piece] = TextTree([ids]).pieces(len(ids), self.model.device)
        self._states(piece, beginning)
        return beginning

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

    def _along(
        self, texts: Collection[Ids], budget: Budget, beginning: Beginning | None = None
    ) -> Iterator[tuple[Piece, Path]]:
        """The pieces of all texts, each with its path.

        Texts are one tree, those that begin with `beginning` another one after it, and each text that changes rotary
        frequencies by its length stands alone and whole.
        """
        long = sorted((text for text in texts if changes_rope(self.model.config, len(text))), key=len)
        short = {*texts}.difference(long)
        begun = {text for text in short if beginning is not None and beginning.begins(text)}
        trees = [(short - begun, budget.tokens, None), (begun, budget.tokens, beginning)]
        for own, tokens, read in [*trees, *(([text], len(text), None) for text in long)]:
            path = Path(read)
            for piece in TextTree(own, len(read.ids) if read else 0).pieces(tokens, self.model.device):
                path.turn(piece)
                yield piece, path

    def _states(self, piece: Piece, store: Store) -> torch.Tensor:
        """The last layer's hidden states of a piece, of shape (tokens, width)."""
        base = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        states: torch.Tensor = base.base_model(**inputs(self.model, piece.tree), store=store).last_hidden_state[0]
        return states

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
