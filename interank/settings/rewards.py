"""Settings of rewards, and of the marks that an evaluation gives to explanations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from interank.settings.base import FilePath, Settings, as_tuple


class RewardRecipe(Settings):
    """One reward: its function, weight and parameters."""

    use: str
    """A name in the rewards folder, or the path of a Python file."""
    weight: float = 1.0
    """Its factor in the sum."""
    params: Mapping[str, Any] = {}
    """Keyword arguments of the reward function."""


Rewards = Annotated[tuple[RewardRecipe, ...], BeforeValidator(as_tuple)]


class MarkingRecipe(Settings):
    """How the explanations of an evaluation are marked: by rewards of rl, with one frozen reader for all systems."""

    reader: FilePath | None = None
    """An output of distill: the adapter that reads the explanations of all systems, including its own. Take the one
    from which rl started, as `interank run` does where none is named; it is loaded beside the model that ranks."""
    rewards: Rewards = (RewardRecipe(use="stance"), RewardRecipe(use="support"))
    """The rewards that mark them. `explanation_quality` can be added, with `params.model`, an output of
    `interank reward` on the reader's base; in `interank run` its stage `reward` gives it. An explanation takes about
    five forward passes, no generation and no calls: 0.2M tokens for 100 explanations of documents of 500 tokens."""
