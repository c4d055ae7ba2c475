"""Which rewards count, and how much; and by which an evaluation marks explanations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from interank.settings.base import FilePath, Settings, as_tuple


class RewardRecipe(Settings):
    """One reward: which, how much it counts, and its parameters."""

    use: str
    """A name in the rewards folder, or the path of a Python file."""
    weight: float = 1.0
    """Its factor in the sum."""
    params: Mapping[str, Any] = {}
    """Keyword arguments of the reward function."""


Rewards = Annotated[tuple[RewardRecipe, ...], BeforeValidator(as_tuple)]


class MarkingRecipe(Settings):
    """How the explanations of an evaluation are marked: by rewards of rl, with one frozen reader for all systems."""

    reader: FilePath
    """An output of distill: the adapter that reads the explanations of every system, its own not excepted. Take the one
    from which rl started; it is loaded once more beside what ranks."""
    rewards: Rewards = (RewardRecipe(use="stance"), RewardRecipe(use="support"))
    """What they are marked by; `explanation_quality` with `params.model`, an output of `interank reward` on the
    reader's base, is one more. Each explanation takes some five reads of a text and no calls; nothing is written. With
    100 explanations of documents of 500 tokens that is 0.2M tokens."""
