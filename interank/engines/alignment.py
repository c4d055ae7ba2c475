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

from interank.engines.budget import Budget, Held, Ids, cut_apart, held, parts
from interank.engines.cached_batch import CachedBatch
from interank.engines.last_logits import last_logits
from interank.engines.layers import STATES, is_read_otherwise
from interank.engines.prompts import Prompt

# What layers hold that take up a state, in transformers' caches.
_STATES = ("conv_states", "recurrent_states")


class AlignedRunner:
    """Reads prompts to their ends, or goes on writing them."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._states: int | None = None

    def logits(
        self, prompts: Sequence[Prompt], budget: Budget, labels: Sequence[int]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """The vocabulary's logits after each prompt: places in `prompts`, and a row for each; see `last_logits`.

        Rows are padded on the right, where nothing is read any more.
        """
        for places, cache, logits in self._read([parts(prompt) for prompt in prompts], budget, labels):
            # Else it would be held while the next is made.
            del cache
            yield places, logits

    def cut(self, prompts: Sequence[Prompt], budget: Budget, room: int) -> Iterator[list[int]]:
        """Places of prompts that are written together, with `room` tokens more for each."""
        return cut_apart(self.model, prompts, budget, self._held(), room)

    def start(self, prompts: Sequence[Prompt], budget: Budget, room: int) -> CachedBatch:
        """Read prompts that are to be written on together: those alike in length at once, equal ones once."""
        different = list(dict.fromkeys(map(parts, prompts)))
        read = list(self._read(different, budget, alike=True))
        order = [place for places, _, _ in read for place in places]
        rows = {different[place]: row for row, place in enumerate(order)}
        chosen = torch.tensor([rows[parts(prompt)] for prompt in prompts], device=self.model.device)
        cache = _joined([cache for _, cache, _ in read])
        cache.reorder_cache(chosen)
        lengths = torch.tensor([len(prompt.ids) for prompt in prompts], device=self.model.device)[:, None]
        longest = int(lengths.max())
        mask = (torch.arange(longest, device=self.model.device) >= longest - lengths).long()
        return CachedBatch(self.model, cache, mask, lengths - 1, torch.cat([logits for _, _, logits in read])[chosen])

    def _held(self, read: DynamicCache | None = None) -> Held:
        """What a row takes; of states a cache of one row tells, which is read if none is there."""
        if self._states is None:
            kinds = getattr(self.model.config.get_text_config(), "layer_types", None) or ()
            if read is None and STATES & {*kinds}:
                read = DynamicCache(config=self.model.config)
                self._forward(read, [(0,)], 0, 1)
            self._states = state_bytes(read) if read is not None else 0
        return Held(held(self.model).token, self._states)

    def _read(
        self, given: Sequence[tuple[Ids, Ids]], budget: Budget, labels: Sequence[int] = (), *, alike: bool = False
    ) -> Iterator[tuple[list[int], DynamicCache, torch.Tensor]]:
        """Places in `given`, their cache and the logits at their ends, batch by batch, each prefix read once.

        In batches that are alike in length there is no padding at all, so that their cache can be continued. Texts
        so long that positions are read otherwise are read whole, beside none of another length.
        """
        apart = [is_read_otherwise(self.model.config, len(prefix) + len(rest)) for prefix, rest in given]
        given = [((), (*text[0], *text[1])) if long else text for text, long in zip(given, apart, strict=True)]
        groups: dict[tuple[Ids, int | None], list[int]] = {}
        for place, (prefix, own) in enumerate(given):
            groups.setdefault((prefix, len(own) if apart[place] else None), []).append(place)
        # The longest last: some of transformers' models keep to what they have read positions by.
        for (prefix, whole), places in sorted(groups.items(), key=lambda group: group[0][1] or 0):
            before = DynamicCache(config=self.model.config)
            if prefix:
                self._forward(before, [prefix], 0, budget.tokens)
            each = self._held(before if prefix else None)
            for batch in _batches(given, places, budget, each, alike=alike):
                cache = copy.deepcopy(before)
                if prefix:
                    cache.reorder_cache(torch.zeros(len(batch), dtype=torch.long, device=self.model.device))
                rest = [given[place][1] for place in batch]
                tokens = whole * len(batch) if whole else budget.tokens
                logits = self._forward(cache, rest, len(prefix), tokens, labels, ends=True)
                yield batch, cache, logits
                del cache, logits

    def _forward(
        self,
        cache: DynamicCache,
        rows: Sequence[Ids],
        start: int,
        tokens: int,
        labels: Sequence[int] = (),
        *,
        ends: bool = False,
    ) -> torch.Tensor:
        """Read rows into a cache from position `start` on, so many tokens at once; the logits at the `ends` if asked.

        They have the shape (rows, vocabulary); there are none where they are not asked for.
        """
        device = self.model.device
        ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(device)
        found: list[tuple[list[int], torch.Tensor]] = []
        piece = max(1, tokens // len(rows))
        for begin in range(0, ids.shape[1], piece):
            here = [row for row, own in enumerate(rows) if ends and begin < len(own) <= begin + piece]
            lasts = torch.tensor([len(rows[row]) - 1 - begin for row in here], dtype=torch.long, device=device)
            kept, places = torch.unique(lasts, return_inverse=True)
            read = ids[:, begin : begin + piece]
            logits = last_logits(
                self.model,
                (torch.tensor(here, dtype=torch.long, device=device), places),
                labels if here else (),
                input_ids=read,
                position_ids=torch.arange(start + begin, start + begin + read.shape[1], device=device)[None],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=kept,
            )
            found.append((here, logits))
        order = torch.tensor([row for here, _ in found for row in here], dtype=torch.long, device=device)
        return torch.cat([logits for _, logits in found])[order.argsort()]


def _batches(
    given: Sequence[tuple[Ids, Ids]], places: Sequence[int], budget: Budget, each: Held, *, alike: bool
) -> Iterator[list[int]]:
    """Places of one prefix that run together: near in length or alike, within the budget, prefix included."""
    batch: list[int] = []
    for place in sorted(places, key=lambda i: (-len(given[i][1]), i)):
        longest = sum(map(len, given[batch[0]])) if batch else 0
        rows = len(batch) + 1
        keys = each.token * (len(given[place][0]) + rows * longest) + each.row * (rows + 1)
        other = alike and longest != sum(map(len, given[place]))
        if batch and (other or rows * longest > budget.tokens or keys > budget.keys):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def state_bytes(cache: DynamicCache) -> int:
    """What a cache holds beside keys and values."""
    return sum(
        state.nbytes
        for layer in cache.layers
        for name in _STATES
        for state in getattr(layer, name, {}).values()
        if state is not None
    )


def _joined(caches: Sequence[DynamicCache]) -> DynamicCache:
    """One cache of all rows, keys and values padded on the left to the longest; states have no length.

    Keys and values of the others are let go on the way.
    """
    joined = caches[0]
    if len(caches) == 1:
        return joined
    for number, layer in enumerate(joined.layers):
        layers = [cache.layers[number] for cache in caches]
        for name in _STATES:
            for index, state in getattr(layer, name, {}).items():
                if state is not None:
                    getattr(layer, name)[index] = torch.cat([getattr(each, name)[index] for each in layers])
        if getattr(layer, "keys", None) is not None:
            longest = max(each.keys.shape[-2] for each in layers)
            layer.keys, layer.values = (
                torch.cat([pad(states, (0, 0, longest - states.shape[-2], 0)) for states in each])
                for each in ([each.keys for each in layers], [each.values for each in layers])
            )
            for each in layers[1:]:
                each.keys = each.values = None
        if hasattr(layer, "cumulative_length"):
            layer.cumulative_length = max(each.cumulative_length for each in layers)
    return joined
