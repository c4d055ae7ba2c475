"""Runs prompts on models with recurrent states or sliding windows: no padding on the left, shared prefixes read once.

Padding before a token would enter the state, and a window would count it as text.
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
from interank.engines.layers import STATES, changes_rope
from interank.engines.prompts import Prompt

# Attributes of recurrent layers' states in transformers' caches.
_STATES = ("conv_states", "recurrent_states")


class AlignedRunner:
    """Computes the logits after prompts, or generates text after them."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._states: int | None = None

    def logits(
        self, prompts: Sequence[Prompt], budget: Budget, labels: Sequence[int]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Batches of places in `prompts` with the vocabulary's logits after each prompt, a row each; see `last_logits`.

        Rows are padded on the right, after the last token that is read.
        """
        for places, cache, logits in self._read([parts(prompt) for prompt in prompts], budget, labels):
            # Frees the cache before the next one is built.
            del cache
            yield places, logits

    def cut(self, prompts: Sequence[Prompt], budget: Budget, room: int) -> Iterator[list[int]]:
        """Batches for generation, as places in `prompts`, with room for `room` new tokens each."""
        return cut_apart(self.model, prompts, budget, self._held(), room)

    def start(self, prompts: Sequence[Prompt], budget: Budget, room: int) -> CachedBatch:
        """Read prompts for generation in one batch: prompts of one length at once, equal ones once."""
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
        """The bytes of a cache; those of recurrent states are measured on a cache of one row, read here if needed."""
        if self._states is None:
            kinds = getattr(self.model.config.get_text_config(), "layer_types", None) or ()
            if read is None and STATES & {*kinds}:
                read = DynamicCache(config=self.model.config)
                self._forward(read, [(0,)], 0, 1)
            self._states = state_bytes(read) if read is not None else 0
        return Held(held(self.model).token, self._states)

    def _read(
        self, texts: Sequence[tuple[Ids, Ids]], budget: Budget, labels: Sequence[int] = (), *, alike: bool = False
    ) -> Iterator[tuple[list[int], DynamicCache, torch.Tensor]]:
        """Batches of places in `texts`, with their cache and the logits at their ends; each prefix is read once.

        With `alike` a batch has texts of one length and no padding, so that its cache can be continued. Texts so long
        that rotary frequencies change are read whole, in batches of one length.
        """
        apart = [changes_rope(self.model.config, len(prefix) + len(rest)) for prefix, rest in texts]
        texts = [((), (*text[0], *text[1])) if long else text for text, long in zip(texts, apart, strict=True)]
        groups: dict[tuple[Ids, int | None], list[int]] = {}
        for place, (prefix, own) in enumerate(texts):
            groups.setdefault((prefix, len(own) if apart[place] else None), []).append(place)
        # The longest last: some of transformers' models keep a long text's rotary frequencies for later texts.
        for (prefix, whole), places in sorted(groups.items(), key=lambda group: group[0][1] or 0):
            before = DynamicCache(config=self.model.config)
            if prefix:
                self._forward(before, [prefix], 0, budget.tokens)
            each = self._held(before if prefix else None)
            for batch in _batches(texts, places, budget, each, alike=alike):
                cache = copy.deepcopy(before)
                if prefix:
                    cache.reorder_cache(torch.zeros(len(batch), dtype=torch.long, device=self.model.device))
                rest = [texts[place][1] for place in batch]
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
        """Read rows into a cache from position `start` on, `tokens` tokens at a time.

        Returns the logits at the rows' ends, of shape (rows, vocabulary); without `ends` they have no rows.
        """
        device = self.model.device
        ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(device)
        results: list[tuple[list[int], torch.Tensor]] = []
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
            results.append((here, logits))
        order = torch.tensor([row for here, _ in results for row in here], dtype=torch.long, device=device)
        return torch.cat([logits for _, logits in results])[order.argsort()]


def _batches(
    texts: Sequence[tuple[Ids, Ids]], places: Sequence[int], budget: Budget, each: Held, *, alike: bool
) -> Iterator[list[int]]:
    """Batches of one prefix's texts within the budget: of similar length, with `alike` of the same length."""
    batch: list[int] = []
    for place in sorted(places, key=lambda i: (-len(texts[i][1]), i)):
        longest = sum(map(len, texts[batch[0]])) if batch else 0
        rows = len(batch) + 1
        keys = each.token * (len(texts[place][0]) + rows * longest) + each.row * (rows + 1)
        other = alike and longest != sum(map(len, texts[place]))
        if batch and (other or rows * longest > budget.tokens or keys > budget.keys):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def state_bytes(cache: DynamicCache) -> int:
    """The bytes of a cache's recurrent states."""
    return sum(
        state.nbytes
        for layer in cache.layers
        for name in _STATES
        for state in getattr(layer, name, {}).values()
        if state is not None
    )


def _joined(caches: Sequence[DynamicCache]) -> DynamicCache:
    """One cache of all rows, keys and values padded on the left to the longest; states have no length.

    It frees the other caches' keys and values on the way.
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
