"""What a policy is asked of lists in GRPO: one prompt a list, documents in seeded order, and the grades for rewards."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from interank.engines.prompts import Prompt
from interank.errors import InputError
from interank.judgments import JudgedList
from interank.settings import RolloutsRecipe
from interank.tasks.order.encoder import ListEncoder
from interank.training.rollouts import PolicyRollouts
from interank.training.samplers import Sampler

# A thought shorter than this leads nowhere.
_LEAST_REASONING = 8


class ListRollouts(PolicyRollouts):
    """Generates orders of lists."""

    def __init__(
        self,
        lists_encoder: ListEncoder,
        lists: Sequence[JudgedList],
        *,
        tokens: int,
        seed: int,
        sampler: Sampler | None = None,
        settings: RolloutsRecipe | None = None,
    ) -> None:
        """Prepare the prompts; see `PolicyRollouts`.

        Raises:
            InputError: The budget of a completion does not hold a ranking of the longest list.
        """
        self.lists_encoder = lists_encoder
        self.max_length = lists_encoder.settings.max_length
        self.examples = lists
        longest = max(len(item.documents) for item in lists)
        needed = lists_encoder.answer_tokens(longest, _LEAST_REASONING)
        if tokens < needed:
            raise InputError(
                f"max_completion_tokens: {tokens} do not hold a ranking of {longest} documents, which takes {needed} "
                "with the shortest reasoning; raise it, or lower window"
            )
        asked = list(zip(list_prompts(lists_encoder, lists, tokens), map(columns, lists), strict=True))
        super().__init__(lists_encoder.encoder, asked, tokens=tokens, seed=seed, settings=settings, sampler=sampler)


def columns(item: JudgedList) -> dict[str, Any]:
    """What a completion comes with: the list, and its judged grades."""
    return {
        "query_id": item.query.query_id,
        "query": item.query.text,
        "doc_ids": [document.doc_id for document in item.documents],
        "documents": [document.full_text for document in item.documents],
        "grades": list(item.grades),
    }


def list_prompts(encoder: ListEncoder, lists: Sequence[JudgedList], tokens: int) -> list[Prompt]:
    """The prompt of each list, with room for an answer of so many tokens."""
    return [
        encoder.prompt(
            item.query, item.documents, reasoning_tokens=tokens - encoder.answer_tokens(len(item.documents), 0)
        ).prompt
        for item in lists
    ]


def in_orders(lists: Sequence[JudgedList], shuffles: int, seed: int) -> list[JudgedList]:
    """Each list in so many orders of its documents, lists of all kinds mixed."""
    shown = []
    for time in range(shuffles):
        rng = random.Random(f"{seed} {time}")
        for item in rng.sample(lists, len(lists)):
            places = rng.sample(range(len(item.documents)), len(item.documents))
            documents = tuple(item.documents[place] for place in places)
            shown.append(replace(item, documents=documents, grades=tuple(item.grades[place] for place in places)))
    return shown
