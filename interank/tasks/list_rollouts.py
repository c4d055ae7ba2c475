"""Rollouts about lists in GRPO: one prompt a list, documents in seeded order, and the grades for rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interank.errors import InputError
from interank.judgments import JudgedList
from interank.settings import RolloutsRecipe
from interank.tasks.list_columns import columns
from interank.tasks.list_trials import list_prompts
from interank.tasks.window_prompts import WindowEncoder
from interank.training.rollouts import PolicyRollouts
from interank.training.samplers import Sampler


class ListRollouts(PolicyRollouts):
    """Generates answers about lists."""

    def __init__(
        self,
        lists_encoder: WindowEncoder[Any],
        lists: Sequence[JudgedList],
        *,
        tokens: int,
        seed: int,
        sampler: Sampler | None = None,
        settings: RolloutsRecipe | None = None,
    ) -> None:
        """Prepare the prompts; see `PolicyRollouts`.

        Raises:
            InputError: The budget of a completion does not hold an answer about the longest list.
        """
        self.lists_encoder = lists_encoder
        self.max_length = lists_encoder.settings.max_length
        self.examples = lists
        longest = max(len(item.documents) for item in lists)
        needed = lists_encoder.answer_tokens(longest, lists_encoder.least_reasoning)
        if tokens < needed:
            raise InputError(
                f"max_completion_tokens: {tokens} is too little for an answer about {longest} documents, which takes "
                f"{needed} at least; raise it, or lower window"
            )
        rows = list(zip(list_prompts(lists_encoder, lists, tokens), map(columns, lists), strict=True))
        super().__init__(lists_encoder.encoder, rows, tokens=tokens, seed=seed, settings=settings, sampler=sampler)
