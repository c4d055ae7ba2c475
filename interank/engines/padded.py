"""Prompts on any causal language model of transformers: padded batches whose shared prefixes are read once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from interank.engines.budget import Budget, Ids, budget_of, cut, held, parts
from interank.engines.last_logits import last_logits
from interank.engines.prompts import Prompt

_Prefixes = dict[Ids, DynamicCache]


class PaddedRunner:
    """Reads prompts to their ends, or goes on writing them."""

    def __init__(self, model: Any, budget: Budget | None = None) -> None:
        """Take a model, and what its batches may take: by what is free at each call unless it is given."""
        self.model = model
        self.budget = budget

    def logits(self, prompts: Sequence[Prompt], labels: Sequence[int] = ()) -> Iterator[tuple[list[int], torch.Tensor]]:
        """The vocabulary's logits after each prompt: places in `prompts`, and a row for each; see `last_logits`."""
        budget = self._budget()
        prefixes: _Prefixes = {}
        for places in cut(prompts, budget, held(self.model)):
            some = [prompts[place] for place in places]
            # What the batch before held and this one does not ask for is let go first.
            prefixes = {prefix: prefixes[prefix] for prefix, _ in map(parts, some) if prefix in prefixes}
            self._read(some, prefixes, budget)
            yield places, PaddedBatch(self.model, some, prefixes, budget.tokens, labels).logits

    def cut(self, prompts: Sequence[Prompt], room: int) -> Iterator[list[int]]:
        """Places of prompts that are written together, with `room` tokens more for each."""
        return cut(prompts, self._budget(), held(self.model), room=room)

    def start(self, prompts: Sequence[Prompt], room: int) -> PaddedBatch:
        """Read prompts that are to be written on together."""
        budget, prefixes = self._budget(), _Prefixes()
        self._read(prompts, prefixes, budget)
        return PaddedBatch(self.model, prompts, prefixes, budget.tokens)

    def _budget(self) -> Budget:
        return self.budget or budget_of(self.model)

    def _read(self, prompts: Sequence[Prompt], prefixes: _Prefixes, budget: Budget) -> None:
        """Add the keys and values of each distinct prefix that is not there yet."""
        nothing = torch.tensor([], dtype=torch.long, device=self.model.device)
        for prefix, _ in map(parts, prompts):
            if prefix not in prefixes:
                cache = DynamicCache(config=self.model.config)
                for begin in range(0, len(prefix), budget.tokens):
                    ids = torch.tensor([prefix[begin : begin + budget.tokens]], device=self.model.device)
                    self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=nothing)
                prefixes[prefix] = cache


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

    def __init__(
        self, model: Any, prompts: Sequence[Prompt], prefixes: _Prefixes, tokens: int, labels: Sequence[int] = ()
    ) -> None:
        """Read what follows the prefixes, so many tokens at once."""
        given = [parts(prompt) for prompt in prompts]
        device = model.device
        before = max(len(prefix) for prefix, _ in given)
        after = max(len(rest) for _, rest in given)
        ids = torch.zeros((len(prompts), after), dtype=torch.long, device=device)
        mask = torch.zeros((len(prompts), before + after), dtype=torch.long, device=device)
        positions = torch.zeros_like(ids)
        for row, (prefix, rest) in enumerate(given):
            ids[row, after - len(rest) :] = torch.tensor(rest, device=device)
            mask[row, before - len(prefix) : before] = 1
            mask[row, before + after - len(rest) :] = 1
            start = len(prefix)
            positions[row, after - len(rest) :] = torch.arange(start, start + len(rest), device=device)
        cache = _joined([prefixes[prefix] for prefix, _ in given], before, model.config)
        piece = max(1, tokens // len(prompts))
        for begin in range(0, after, piece):
            end = min(begin + piece, after)
            read = slice(begin, end)
            logits = _forward(model, cache, mask[:, : before + end], ids[:, read], positions[:, read], labels)
        super().__init__(model, cache, mask, positions[:, -1:], logits)


def _forward(
    model: Any,
    cache: DynamicCache,
    mask: torch.Tensor,
    ids: torch.Tensor,
    positions: torch.Tensor,
    labels: Sequence[int] = (),
) -> torch.Tensor:
    """Read ids behind what the cache holds; the logits after the last of each row."""
    return last_logits(
        model,
        (slice(None), -1),
        labels,
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )


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
