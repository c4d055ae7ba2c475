"""Prompts on models whose layers keep a state or see a window: no padding before a token, shared prefixes read once.

A state would take padding up, and a window count it as if it were text.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from interank.engines.padded import CachedBatch, Ids, batch_tokens, parts
from interank.engines.prompts import Prompt


class AlignedRunner:
    """Reads prompts to their ends, or goes on writing them."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def logits(self, prompts: Sequence[Prompt]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """The vocabulary's logits after each prompt: places in `prompts`, and a row for each of them.

        Rows are padded on the right, where nothing is read any more.
        """
        for places, _, logits in self._read([parts(prompt) for prompt in prompts], alike=False):
            yield places, logits

    def together(self, prompts: Sequence[Prompt], room: int) -> int:
        """How many of the prompts are written together at most: all, so the caller chooses."""
        return len(prompts)

    def start(self, prompts: Sequence[Prompt], room: int) -> CachedBatch:
        """Read prompts that are to be written on together: those alike in length at once, equal ones once."""
        different = list(dict.fromkeys(map(parts, prompts)))
        read = list(self._read(different, alike=True))
        order = [place for places, _, _ in read for place in places]
        rows = {different[place]: row for row, place in enumerate(order)}
        chosen = torch.tensor([rows[parts(prompt)] for prompt in prompts], device=self.model.device)
        cache = _joined([cache for _, cache, _ in read])
        cache.reorder_cache(chosen)
        lengths = torch.tensor([len(prompt.ids) for prompt in prompts], device=self.model.device)[:, None]
        longest = int(lengths.max())
        mask = (torch.arange(longest, device=self.model.device) >= longest - lengths).long()
        return CachedBatch(self.model, cache, mask, lengths - 1, torch.cat([logits for _, _, logits in read])[chosen])

    def _read(
        self, given: Sequence[tuple[Ids, Ids]], *, alike: bool
    ) -> Iterator[tuple[list[int], DynamicCache, torch.Tensor]]:
        """Places in `given`, their cache and the logits at their ends, batch by batch, each prefix read once.

        In batches that are alike in length there is no padding at all, so that their cache can be continued.
        """
        by_prefix: dict[Ids, list[int]] = {}
        for place, (prefix, _) in enumerate(given):
            by_prefix.setdefault(prefix, []).append(place)
        for prefix, places in by_prefix.items():
            before = DynamicCache(config=self.model.config)
            if prefix:
                self._forward(before, [prefix], 0, logits=False)
            for batch in self._batches(given, places, alike=alike):
                cache = copy.deepcopy(before)
                if prefix:
                    cache.reorder_cache(torch.zeros(len(batch), dtype=torch.long, device=self.model.device))
                yield batch, cache, self._forward(cache, [given[place][1] for place in batch], len(prefix))

    def _batches(self, given: Sequence[tuple[Ids, Ids]], places: Sequence[int], *, alike: bool) -> Iterator[list[int]]:
        """Places that run together: near in length or alike, within the token budget, prefix included."""
        batch: list[int] = []
        for place in sorted(places, key=lambda i: (-len(given[i][1]), i)):
            longest = sum(map(len, given[batch[0]])) if batch else 0
            other = alike and longest != sum(map(len, given[place]))
            if batch and (other or longest * (len(batch) + 1) > batch_tokens(self.model)):
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _forward(self, cache: DynamicCache, rows: Sequence[Ids], start: int, *, logits: bool = True) -> torch.Tensor:
        """Read rows into a cache from position `start` on; the logits at their ends, of shape (rows, vocabulary)."""
        ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(self.model.device)
        ends = torch.tensor([len(row) - 1 for row in rows] if logits else [], dtype=torch.long, device=ids.device)
        kept, places = torch.unique(ends, return_inverse=True)
        output = self.model(
            input_ids=ids,
            position_ids=torch.arange(start, start + ids.shape[1], device=ids.device)[None],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=kept,
        )
        found: torch.Tensor = output.logits[torch.arange(len(places), device=ids.device), places].float()
        return found


def _joined(caches: Sequence[DynamicCache]) -> DynamicCache:
    """One cache of all rows, keys and values padded on the left to the longest; states have no length."""
    joined = caches[0]
    for number, layer in enumerate(joined.layers):
        layers = [cache.layers[number] for cache in caches]
        for name in ("conv_states", "recurrent_states"):
            for index, state in getattr(layer, name, {}).items():
                if state is not None:
                    getattr(layer, name)[index] = torch.cat([getattr(each, name)[index] for each in layers])
        if getattr(layer, "keys", None) is not None:
            longest = max(each.keys.shape[-2] for each in layers)
            layer.keys, layer.values = (
                torch.cat([pad(states, (0, 0, longest - states.shape[-2], 0)) for states in each])
                for each in ([each.keys for each in layers], [each.values for each in layers])
            )
        if hasattr(layer, "cumulative_length"):
            layer.cumulative_length = max(each.cumulative_length for each in layers)
    return joined
