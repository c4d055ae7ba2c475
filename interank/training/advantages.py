"""Advantages from rewards: rewards that do not apply are neutral, and each token gets the rewards that it affects.

TRL sums rewards with NaN as 0: where a judge failed for one of four equal completions, that one got an advantage of
-1.5. TRL also gives a completion a single advantage, although in grade-first order no token after the grade can change
the grade's reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from interank.rewards import Credit, WeightedReward

# TRL's, added to a standard deviation before dividing by it.
_EPSILON = 1e-4


@dataclass(frozen=True, slots=True)
class Scheme:
    """The settings by which a group's rewards become advantages: weights and credits of rewards, and TRL's options."""

    rewards: Sequence[WeightedReward]
    group: int
    scale: str = "group"
    aggregation: str = "sum_then_normalize"


def fill_missing(rewards: torch.Tensor, group: int) -> torch.Tensor:
    """Rewards of shape (completions, rewards), each NaN replaced by the mean of its group, or by 0 if that is NaN.

    A completion to which no reward applies keeps its NaN, so that TRL gives it no advantage.
    """
    grouped = rewards.view(-1, group, rewards.shape[1])
    low = grouped.nan_to_num(nan=torch.inf).amin(1, keepdim=True)
    high = grouped.nan_to_num(nan=-torch.inf).amax(1, keepdim=True)
    # The computed mean of equal numbers may be off in its last bit.
    means = grouped.nanmean(1, keepdim=True).clamp(min=low, max=high).nan_to_num(nan=0.0)
    filled = torch.where(grouped.isnan(), means, grouped).view_as(rewards)
    return torch.where(rewards.isnan().all(1, keepdim=True), rewards, filled)


def advantages(rewards: torch.Tensor, scheme: Scheme, wanted: Sequence[Credit]) -> torch.Tensor:
    """One advantage a completion from the rewards with these credits, as TRL computes it; of shape (completions,).

    Groups of equal rewards get exactly 0: the computed mean of equal numbers can be off in its last bit, which dividing
    by their deviation would magnify.
    """
    chosen = [place for place, reward in enumerate(scheme.rewards) if reward.credit in wanted]
    some = rewards[:, chosen]
    weights = torch.tensor([scheme.rewards[place].weight for place in chosen]).to(some)
    absent = some.isnan().all(1)
    if scheme.aggregation == "normalize_then_sum":
        grouped = some.view(-1, scheme.group, len(chosen))
        each = (grouped - grouped.nanmean(1, keepdim=True)) / (_spread(grouped, 1) + _EPSILON)
        sums = (each.view_as(some) * weights).nansum(1).masked_fill(absent, torch.nan)
        scaled = (sums - sums.nanmean()) / (_spread(sums, 0) + _EPSILON)
    else:
        grouped = (some * weights).nansum(1).masked_fill(absent, torch.nan).view(-1, scheme.group)
        scaled = grouped - grouped.nanmean(1, keepdim=True)
        if scheme.scale == "group":
            scaled = scaled / (_spread(grouped, 1) + _EPSILON)
        elif scheme.scale == "batch":
            scaled = scaled / (_spread(grouped.flatten(), 0) + _EPSILON)
        scaled = scaled.flatten()
    if not chosen:
        return rewards.new_zeros(len(rewards))
    finite: torch.Tensor = scaled.nan_to_num(nan=0.0).masked_fill(alike(some, scheme.group), 0.0)
    return finite


def by_token(rewards: torch.Tensor, scheme: Scheme, grade_at: torch.Tensor, width: int) -> torch.Tensor:
    """Advantages of shape (completions, width): the grade's up to the grade, the explanation's after it.

    Args:
        rewards: Of shape (completions, rewards).
        scheme: The settings of the normalisation.
        grade_at: The grade's position in each completion; -1 where all tokens precede it, as in reason-first order.
        width: Tokens of the longest completion.
    """
    whole = advantages(rewards, scheme, ("grade", "explanation", "answer"))
    if not (grade_at >= 0).any() or len({reward.credit for reward in scheme.rewards}) < 2:
        return whole[:, None].expand(-1, width).contiguous()
    grade = advantages(rewards, scheme, ("grade", "answer"))[:, None]
    explanation = advantages(rewards, scheme, ("explanation", "answer"))[:, None]
    after = torch.arange(width, device=rewards.device) > grade_at[:, None]
    return torch.where((grade_at < 0)[:, None], whole[:, None], torch.where(after, explanation, grade))


def without_grade(given: torch.Tensor, grade_at: torch.Tensor, rewards: Sequence[WeightedReward]) -> torch.Tensor:
    """Advantages with 0 for the tokens up to the grade, so that completions without others are not computed.

    Args:
        given: Advantages of shape (completions,) or (completions, tokens).
        grade_at: The grade's position in each completion, or -1.
        rewards: The rewards of the advantages.
    """
    if given.dim() > 1:
        upto = torch.arange(given.shape[1], device=given.device) <= grade_at[:, None]
        return given.masked_fill(upto, 0.0)
    return given.masked_fill(grade_at >= 0, 0.0) if {reward.credit for reward in rewards} == {"grade"} else given


def alike(rewards: torch.Tensor, group: int) -> torch.Tensor:
    """True for completions of a group in which each reward is the same for all; `rewards` is (completions, rewards)."""
    grouped = rewards.nan_to_num(nan=torch.inf).view(-1, group, rewards.shape[1])
    same: torch.Tensor = (grouped == grouped[:, :1]).all(2).all(1)
    return same.repeat_interleave(group)


def _spread(values: torch.Tensor, dim: int) -> torch.Tensor:
    """The standard deviation without NaN, with Bessel's correction; NaN for a single value. It keeps `dim`."""
    number = (~values.isnan()).sum(dim, keepdim=True)
    squares = ((values - values.nanmean(dim, keepdim=True)) ** 2).nanmean(dim, keepdim=True)
    return torch.where(number > 1, squares * (number / (number - 1)), torch.nan).sqrt()
