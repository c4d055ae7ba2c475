"""From rewards to advantages: what does not apply is neutral, and each token is credited with what it decides.

TRL sums rewards with NaN as 0, so that one judge that failed among four equal completions gave its completion an
advantage of -1.5. And it gives a completion one advantage, where in grade-first order nothing that is written after the
grade can change what the grade earns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from interank.rewards import Credit, WeightedReward

# TRL's, beside a standard deviation that is divided by.
_EPSILON = 1e-4


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a group's rewards become advantages: how each weighs and what it is for, and TRL's settings."""

    rewards: Sequence[WeightedReward]
    group: int
    scale: str = "group"
    aggregation: str = "sum_then_normalize"


def neutral(rewards: torch.Tensor, group: int) -> torch.Tensor:
    """Rewards of shape (completions, rewards), NaN replaced by the mean of its group, or by 0 where all of it is NaN.

    A completion to which no reward applies keeps its NaN: TRL gives it no advantage.
    """
    grouped = rewards.view(-1, group, rewards.shape[1])
    low = grouped.nan_to_num(nan=torch.inf).amin(1, keepdim=True)
    high = grouped.nan_to_num(nan=-torch.inf).amax(1, keepdim=True)
    # A mean of equal numbers may be off in its last bit.
    means = grouped.nanmean(1, keepdim=True).clamp(min=low, max=high).nan_to_num(nan=0.0)
    filled = torch.where(grouped.isnan(), means, grouped).view_as(rewards)
    return torch.where(rewards.isnan().all(1, keepdim=True), rewards, filled)


def advantages(rewards: torch.Tensor, scheme: Scheme, wanted: Sequence[Credit]) -> torch.Tensor:
    """One advantage a completion from the rewards with these credits, as TRL computes it; of shape (completions,).

    Groups whose rewards are all equal get exactly 0: a mean of equal numbers can be off in its last bit, which dividing
    by their spread would blow up.
    """
    chosen = [place for place, reward in enumerate(scheme.rewards) if reward.credit in wanted]
    some = rewards[:, chosen]
    weights = torch.tensor([scheme.rewards[place].weight for place in chosen]).to(some)
    absent = some.isnan().all(1)
    if scheme.aggregation == "normalize_then_sum":
        grouped = some.view(-1, scheme.group, len(chosen))
        each = (grouped - grouped.nanmean(1, keepdim=True)) / (_spread(grouped, 1) + _EPSILON)
        sums = (each.view_as(some) * weights).nansum(1).masked_fill(absent, torch.nan)
        found = (sums - sums.nanmean()) / (_spread(sums, 0) + _EPSILON)
    else:
        grouped = (some * weights).nansum(1).masked_fill(absent, torch.nan).view(-1, scheme.group)
        found = grouped - grouped.nanmean(1, keepdim=True)
        if scheme.scale == "group":
            found = found / (_spread(grouped, 1) + _EPSILON)
        elif scheme.scale == "batch":
            found = found / (_spread(grouped.flatten(), 0) + _EPSILON)
        found = found.flatten()
    if not chosen:
        return rewards.new_zeros(len(rewards))
    kept: torch.Tensor = found.nan_to_num(nan=0.0).masked_fill(alike(some, scheme.group), 0.0)
    return kept


def by_token(rewards: torch.Tensor, scheme: Scheme, grade_at: torch.Tensor, width: int) -> torch.Tensor:
    """Advantages of shape (completions, width): up to the grade what it earns, after it what the explanation earns.

    Args:
        rewards: Of shape (completions, rewards).
        scheme: How they are normalised.
        grade_at: The grade's place in each completion; -1 where all tokens lead to it, as in reason-first order.
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
    """Advantages less the grade's own, so that completions which have no other are not computed.

    Args:
        given: Of shape (completions,) or (completions, tokens).
        grade_at: The grade's place in each completion, or -1.
        rewards: What they come from.
    """
    if given.dim() > 1:
        upto = torch.arange(given.shape[1], device=given.device) <= grade_at[:, None]
        return given.masked_fill(upto, 0.0)
    return given.masked_fill(grade_at >= 0, 0.0) if {reward.credit for reward in rewards} == {"grade"} else given


def alike(rewards: torch.Tensor, group: int) -> torch.Tensor:
    """Which completions belong to a group whose every reward is the same for all; `rewards` (completions, rewards)."""
    grouped = rewards.nan_to_num(nan=torch.inf).view(-1, group, rewards.shape[1])
    same: torch.Tensor = (grouped == grouped[:, :1]).all(2).all(1)
    return same.repeat_interleave(group)


def _spread(values: torch.Tensor, dim: int) -> torch.Tensor:
    """The standard deviation of what is a number, by Bessel's correction; NaN of a single one. It keeps `dim`."""
    number = (~values.isnan()).sum(dim, keepdim=True)
    squares = ((values - values.nanmean(dim, keepdim=True)) ** 2).nanmean(dim, keepdim=True)
    return torch.where(number > 1, squares * (number / (number - 1)), torch.nan).sqrt()
