"""Which rewards count, and how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from interank.settings.base import Settings, as_tuple


class RewardRecipe(Settings):
    """One reward: which, how much it counts, and its parameters."""

    use: str
    """A name in the rewards folder, or the path of a Python file."""
    weight: float = 1.0
    """Its factor in the sum."""
    params: Mapping[str, Any] = {}
    """Keyword arguments of the reward function."""


Rewards = Annotated[tuple[RewardRecipe, ...], BeforeValidator(as_tuple)]
