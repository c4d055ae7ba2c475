"""Compares a sampler's log-probabilities with the trainer's, and ends a training where they differ too much."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from statistics import median

import torch

from interank.errors import TrainingError
from interank.settings import RolloutsRecipe

log = logging.getLogger(__name__)

CHECKED = "sampling/checked"
"""The log's name of the checked difference: the mean over tokens of |log p - log q|, in nats."""
# Rounding in float32 stays far below. For 16 bits the usual difference has not been measured, so there is no limit.
_EXACT = 1e-3


class Agreement:
    """Compares the difference at each check with a limit; where none is known, with the level of the first checks."""

    def __init__(self, recipe: RolloutsRecipe) -> None:
        self.recipe = recipe
        self._batches, self._unseen = 0, False
        self._levels: list[float] | None = None

    @property
    def begun(self) -> bool:
        """Whether this process has checked a batch before."""
        return self._batches > 0

    def sampled(self) -> None:
        """Note that a batch is being sampled."""
        self._unseen = True

    def due(self) -> bool:
        """Whether a batch was sampled since the last call and has to be checked."""
        if not self._unseen:
            return False
        self._unseen = False
        self._batches += 1
        handed_over = self.recipe.engine != "transformers"
        return self._batches == 1 or (handed_over and (self._batches - 1) % self.recipe.check_every == 0)

    def judge(self, gap: float, dtype: torch.dtype, history: Iterable[Mapping[str, float]]) -> None:
        """Judge a check's difference: warn, or end the training.

        Args:
            gap: The mean difference, in nats.
            dtype: The number format in which the trainer computes.
            history: The trainer's log, with the earlier checks of a resumed training.

        Raises:
            TrainingError: The difference is more than rounding: the policy that writes the completions is not the one
                that is trained.
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
        # True for NaN too.
        if not gap <= limit:
            raise TrainingError(
                f"the rollouts' log-probabilities differ from the trainer's by {gap:.2g} on average, {expected}: "
                "the sampler has other weights, another prompt or another temperature than the trainer"
            )
        if not whole:
            self._levels.append(gap)
            if limit == float("inf") and gap > recipe.level_floor:
                log.warning(
                    "the rollouts' log-probabilities differ from the trainer's by %.2g on average (over %g is much); "
                    "a jump over this level ends the training from check %d on",
                    *(gap, recipe.level_floor, recipe.level_checks + 1),
                )
