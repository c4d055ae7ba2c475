"""Detects the collapse of a policy in the figures of its trials, so that training ends before the adapter is spoilt.

The figures of a trial are those of a `PolicyTrial`, and the training's `reward` and `entropy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from interank.ir.measures import DEFAULT_MEASURE
from interank.settings import CollapseDetectionRecipe
from interank.settings.policy import GOLD_CHECKS

Figures = Mapping[str, float]

REWARD, ENTROPY, WORDS, FORMAT = "reward", "entropy", "explanation_words", "format_rate"
GRADE_ENTROPY, CALIBRATION = "grade_entropy", "calibration_error"
GOLD = "gold"
"""The mean mark, 0 to 1, of fresh explanations by a judge that no reward asks; some trials have it."""


def sign_of_collapse(history: Sequence[Figures], limits: CollapseDetectionRecipe) -> str | None:
    """The first sign that the last trial shows, in words, or None.

    Args:
        history: The figures of all trials, the start's first.
        limits: The recipe's limits of the signs.
    """
    if len(history) < 2:
        return None
    return next((words for sign in _SIGNS if (words := sign(history, limits))), None)


def _validation_down(history: Sequence[Figures], limits: CollapseDetectionRecipe) -> str | None:
    best = max(figures[DEFAULT_MEASURE] for figures in history)
    last = [figures[DEFAULT_MEASURE] for figures in history[-limits.patience :]]
    if len(last) == limits.patience and all(value < best - limits.ndcg_drop for value in last):
        return (
            f"validation down: {DEFAULT_MEASURE} is {last[-1]:.3f}, the best was {best:.3f}, "
            f"and the last {limits.patience} trials were {limits.ndcg_drop:g} below it"
        )
    return None


def _entropy_gone(history: Sequence[Figures], limits: CollapseDetectionRecipe) -> str | None:
    # The start has no entropy, since nothing is sampled before it; the first step's takes its place.
    known = [figures[ENTROPY] for figures in history if ENTROPY in figures]
    if len(known) > 1 and known[0] > 0 and known[-1] < limits.entropy_share * known[0]:
        return f"entropy gone: {known[-1]:.3g} nats a token are left of {known[0]:.3g}, too few to explore"
    return None


def _grades_polarised(history: Sequence[Figures], limits: CollapseDetectionRecipe) -> str | None:
    # The token entropy leaves the grade out where it is not sampled.
    start, now = history[0].get(GRADE_ENTROPY, 0.0), history[-1].get(GRADE_ENTROPY, 0.0)
    if start > 0 and now < limits.grade_entropy_share * start:
        return f"grades polarised: {now:.3g} nats of entropy are left of {start:.3g}, so that scores say less"
    return None


def _calibration_lost(history: Sequence[Figures], limits: CollapseDetectionRecipe) -> str | None:
    if CALIBRATION not in history[0]:
        return None
    start, last = history[0][CALIBRATION], [figures[CALIBRATION] for figures in history[1:][-limits.patience :]]
    if len(last) == limits.patience and all(value > start + limits.calibration_rise for value in last):
        return (
            f"calibration lost: the calibration error is {last[-1]:.3f}, {start:.3f} at the start, and the last "
            f"{limits.patience} trials were {limits.calibration_rise:g} above it"
        )
    return None


def _length_off(history: Sequence[Figures], limits: CollapseDetectionRecipe) -> str | None:
    start, now = history[0].get(WORDS, 0.0), history[-1].get(WORDS, 0.0)
    if start > 0 and now > limits.length_factor * start:
        return f"length exploding: explanations have {now:.0f} words, {start:.0f} at the start"
    if start > 0 and now < start / limits.length_factor:
        return f"length vanishing: explanations have {now:.1f} words, {start:.0f} at the start"
    return None


def _format_lost(history: Sequence[Figures], limits: CollapseDetectionRecipe) -> str | None:
    start, now = history[0].get(FORMAT, 0.0), history[-1].get(FORMAT, 1.0)
    if now < start - limits.format_drop:
        return f"format lost: {now:.0%} of the answers can be read, {start:.0%} at the start"
    return None


def _gold_down(history: Sequence[Figures], limits: CollapseDetectionRecipe) -> str | None:
    checks = [figures for figures in history if GOLD in figures]
    last = checks[-GOLD_CHECKS:]
    earned = [figures[REWARD] for figures in history if REWARD in figures]
    # Only trials with a check can show this sign.
    if GOLD not in history[-1] or len(checks) <= GOLD_CHECKS or len(earned) < 2 or REWARD not in history[-1]:
        return None
    best = max(figures[GOLD] for figures in checks[:-GOLD_CHECKS])
    if earned[-1] > earned[0] and all(figures[GOLD] < best - limits.gold_drop for figures in last):
        return (
            f"reward up while gold falls: the reward went from {earned[0]:.3f} to {earned[-1]:.3f}, and the mark of "
            f"fresh explanations by validation.gold's judge from {best:.2f} to {last[-1][GOLD]:.2f}"
        )
    return None


def _reward_alone(history: Sequence[Figures], limits: CollapseDetectionRecipe) -> str | None:
    last = [figures for figures in history[-limits.patience - 1 :] if REWARD in figures]
    if len(last) <= limits.patience:
        return None
    rewards, values = ([figures[name] for figures in last] for name in (REWARD, DEFAULT_MEASURE))
    rising = all(later > earlier for earlier, later in pairwise(rewards))
    falling = all(later < earlier for earlier, later in pairwise(values))
    if rising and falling and values[0] - values[-1] > limits.ndcg_drop / 2:
        return (
            f"reward up while validation falls: over {limits.patience} trials the reward went from {rewards[0]:.3f} to "
            f"{rewards[-1]:.3f} and {DEFAULT_MEASURE} from {values[0]:.3f} to {values[-1]:.3f}"
        )
    return None


_SIGNS: tuple[Callable[[Sequence[Figures], CollapseDetectionRecipe], str | None], ...] = (
    _format_lost,
    _length_off,
    _entropy_gone,
    _grades_polarised,
    _calibration_lost,
    _gold_down,
    _reward_alone,
    _validation_down,
)
