"""Generation of several texts at once, each in a row of transformers' own cache."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from transformers import DynamicCache

from interank.engines.last_logits import last_logits


class CachedBatch:
    """Texts in generation: their cache, which of its places hold tokens, and their last positions."""

    def __init__(
        self, model: Any, cache: DynamicCache, mask: torch.Tensor, position: torch.Tensor, logits: torch.Tensor
    ) -> None:
        """Take texts that were read.

        Args:
            model: The model that read them.
            cache: Its cache of them.
            mask: 1 where a place of the cache holds a token, of shape (texts, places).
            position: The position of each text's last token, of shape (texts, 1).
            logits: The logits after that token, of shape (texts, vocabulary).
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
        self.logits = last_logits(
            self._model,
            (slice(None), -1),
            input_ids=tokens[:, None].to(self._model.device),
            attention_mask=self._mask,
            position_ids=self._position,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )

    def release(self, finished: Iterable[int]) -> None:
        """Drop the rows of the finished prompts at these places."""
        done = set(finished)
        rows = [row for row, place in enumerate(self.places) if place not in done]
        self.places = [self.places[row] for row in rows]
        kept = torch.tensor(rows, dtype=torch.long, device=self._model.device)
        self._cache.reorder_cache(kept)
        self._mask, self._position, self.logits = self._mask[kept], self._position[kept], self.logits[kept]
