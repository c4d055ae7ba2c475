"""Prompts on any causal language model of transformers: padded batches whose shared prefixes are read once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from interank.engines.prompts import Prompt

# Tokens of one batch, prefix included: enough to keep the cores busy, little enough for the caches.
_BATCH_TOKENS = {"cpu": 4096, "cuda": 65536}

Ids = tuple[int, ...]
_Prefixes = dict[Ids, DynamicCache]


class PaddedRunner:
    """Reads prompts to their ends, or goes on writing them."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def logits(self, prompts: Sequence[Prompt]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """The vocabulary's logits after each prompt: places in `prompts`, and a row for each of them."""
        prefixes = self._prefixes(prompts)
        for places in self._batches(prompts):
            yield places, PaddedBatch(self.model, [prompts[place] for place in places], prefixes).logits

    def together(self, prompts: Sequence[Prompt], room: int) -> int:
        """How many of the prompts are written together at most: all, so the caller chooses."""
        return len(prompts)

    def start(self, prompts: Sequence[Prompt], room: int) -> PaddedBatch:
        """Read prompts that are to be written on together."""
        return PaddedBatch(self.model, prompts, self._prefixes(prompts))

    def _prefixes(self, prompts: Sequence[Prompt]) -> _Prefixes:
        """The keys and values of each distinct prefix."""
        prefixes: _Prefixes = {}
        for prefix, _ in map(parts, prompts):
            if prefix not in prefixes:
                cache = DynamicCache(config=self.model.config)
                ids = torch.tensor([prefix], device=self.model.device)
                nothing = torch.tensor([], dtype=torch.long, device=self.model.device)
                self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=nothing)
                prefixes[prefix] = cache
        return prefixes

    def _batches(self, prompts: Sequence[Prompt]) -> Iterator[list[int]]:
        """Places of prompts that run together: alike in length, within the token budget."""
        budget = batch_tokens(self.model)
        batch: list[int] = []
        for place in sorted(range(len(prompts)), key=lambda i: (-len(prompts[i].ids), i)):
            longest = len(prompts[batch[0]].ids) if batch else 0
            if batch and longest * (len(batch) + 1) > budget:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch


def batch_tokens(model: Any) -> int:
    """How many tokens a batch has at most, where it has several rows."""
    return _BATCH_TOKENS["cuda" if model.device.type == "cuda" else "cpu"]


def parts(prompt: Prompt) -> tuple[Ids, Ids]:
    """What is read once for several prompts, and what follows it, which is at least a token."""
    rest = prompt.document + prompt.suffix
    return (prompt.prefix, rest) if rest else (prompt.prefix[:-1], prompt.prefix[-1:])


class CachedBatch:
    """Texts that are written together: a cache, which of its places hold tokens, the last positions."""

    def __init__(
        self, model: Any, cache: DynamicCache, mask: torch.Tensor, position: torch.Tensor, logits: torch.Tensor
    ) -> None:
        """Take texts that were read.

        Args:
            model: What read them.
            cache: What it keeps of them.
            mask: 1 where a place of the cache holds a token, of shape (texts, places).
            position: Of each text's last token, of shape (texts, 1).
            logits: After it, of shape (texts, vocabulary).
        """
        self._model = model
        self._cache = cache
        self._mask = mask
        self._position = position
        self.logits = logits
        self.places = list(range(len(logits)))

    def step(self, tokens: torch.Tensor) -> None:
        """Append a token to each row; `logits` are then those after it."""
        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)
        self._position = self._position + 1
        ids = tokens[:, None].to(self._model.device)
        self.logits = _forward(self._model, self._cache, self._mask, ids, self._position)

    def release(self, finished: Iterable[int]) -> None:
        """Write no more of the prompts at these places."""
        done = set(finished)
        rows = [row for row, place in enumerate(self.places) if place not in done]
        self.places = [self.places[row] for row in rows]
        kept = torch.tensor(rows, dtype=torch.long, device=self._model.device)
        self._cache.reorder_cache(kept)
        self._mask, self._position, self.logits = self._mask[kept], self._position[kept], self.logits[kept]


class PaddedBatch(CachedBatch):
    """Texts that are written together, padded on the left between their prefixes and what follows them."""

    def __init__(self, model: Any, prompts: Sequence[Prompt], prefixes: _Prefixes) -> None:
        """Read what follows the prefixes."""
        cut = [parts(prompt) for prompt in prompts]
        device = model.device
        before = max(len(prefix) for prefix, _ in cut)
        after = max(len(rest) for _, rest in cut)
        ids = torch.zeros((len(prompts), after), dtype=torch.long, device=device)
        mask = torch.zeros((len(prompts), before + after), dtype=torch.long, device=device)
        positions = torch.zeros_like(ids)
        for row, (prefix, rest) in enumerate(cut):
            ids[row, after - len(rest) :] = torch.tensor(rest, device=device)
            mask[row, before - len(prefix) : before] = 1
            mask[row, before + after - len(rest) :] = 1
            start = len(prefix)
            positions[row, after - len(rest) :] = torch.arange(start, start + len(rest), device=device)
        cache = _joined([prefixes[prefix] for prefix, _ in cut], before, model.config)
        super().__init__(model, cache, mask, positions[:, -1:], _forward(model, cache, mask, ids, positions))


def _forward(
    model: Any, cache: DynamicCache, mask: torch.Tensor, ids: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    """Read ids behind what the cache holds; the logits after the last of each row."""
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits: torch.Tensor = output.logits[:, -1].float()
    return logits


def _joined(caches: Sequence[DynamicCache], length: int, config: Any) -> DynamicCache:
    """One cache whose rows are the given prefixes, padded on the left to `length`; the given ones stay as they are.

    Keys carry their positions already, so padding before them moves nothing.
    """
    joined = DynamicCache(config=config)
    for layer in range(len(caches[0].layers)):
        keys = [_padded(cache.layers[layer].keys, length) for cache in caches]
        values = [_padded(cache.layers[layer].values, length) for cache in caches]
        joined.update(torch.cat(keys), torch.cat(values), layer)
    return joined


def _padded(states: torch.Tensor, length: int) -> torch.Tensor:
    missing = length - states.shape[-2]
    return torch.nn.functional.pad(states, (0, 0, missing, 0)) if missing else states
