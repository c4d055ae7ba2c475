"""How far a sampler's log-probabilities lie from the trainer's, and when that ends a training."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from statistics import median

import torch

from interank.errors import TrainingError
from interank.settings import RolloutsRecipe

log = logging.getLogger(__name__)

CHECKED = "sampling/checked"
"""What the log calls the difference that was checked: the mean over tokens of |log p - log q|, in nats."""
# Rounding in float32 stays far below. Of 16 bits nobody has measured what is usual, so that no limit is known there.
_EXACT = 1e-3


class Agreement:
    """Judges what is found at each check: by a limit, or where none is known by the level of the first checks."""

    def __init__(self, recipe: RolloutsRecipe) -> None:
        self.recipe = recipe
        self._batches, self._unseen = 0, False
        self._levels: list[float] | None = None

    @property
    def begun(self) -> bool:
        """Whether this process has looked at a batch before."""
        return self._batches > 0

    def sampled(self) -> None:
        """Say that a batch is being sampled."""
        self._unseen = True

    def due(self) -> bool:
        """Whether a batch was sampled since the last call, and is one that is to be checked."""
        if not self._unseen:
            return False
        self._unseen = False
        self._batches += 1
        handed_over = self.recipe.engine != "transformers"
        return self._batches == 1 or (handed_over and (self._batches - 1) % self.recipe.check_every == 0)

    def judge(self, found: float, dtype: torch.dtype, history: Iterable[Mapping[str, float]]) -> None:
        """Take a check's difference; warn of it, or stop.

        Args:
            found: In nats.
            dtype: What the trainer computes in.
            history: The trainer's log, which a resumed training goes on from.

        Raises:
            TrainingError: It is more than rounding, so that what is rewarded is not what is trained.
        """
        recipe = self.recipe
        limit = recipe.tolerance or (_EXACT if dtype == torch.float32 else None)
        if self._levels is None:
            self._levels = [line[CHECKED] for line in history if CHECKED in line][: recipe.level_checks]
        whole = len(self._levels) >= recipe.level_checks
        if limit is not None:
            expected = f"at most {limit:g} is expected"
        elif whole:
            level = median(self._levels)
            limit = max(recipe.level_floor, recipe.level_factor * level)
            expected = f"{level:.2g} was usual in the first checks, and at most {limit:.2g} is expected"
        else:
            limit, expected = float("inf"), "a number is expected"
        # Written so that NaN is refused too.
        if not found <= limit:
            raise TrainingError(
                f"the rollouts' log-probabilities differ from the trainer's by {found:.2g} on average, {expected}: "
                "what sampled them has other weights, another prompt or another temperature than what is trained"
            )
        if not whole:
            self._levels.append(found)
            if limit == float("inf") and found > recipe.level_floor:
                log.warning(
                    "the rollouts' log-probabilities differ from the trainer's by %.2g on average (over %g is much); "
                    "from check %d on a jump over this level ends the training",
                    *(found, recipe.level_floor, recipe.level_checks + 1),
                )
