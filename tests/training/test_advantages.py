"""Advantages by hand: a reward that does not apply moves nothing, and each token is credited with what it decides."""

from __future__ import annotations

import pytest
import torch
from trl.trainer.utils import nanstd

from interank.rewards import Credit, WeightedReward
from interank.training.advantages import Scheme, advantages, by_token, fill_missing, without_grade

NAN = float("nan")
ALL: tuple[Credit, ...] = ("grade", "explanation", "answer")


def credited(*credits: Credit) -> list[WeightedReward]:
    return [WeightedReward(lambda **_: [], credit=credit) for credit in credits]


def scheme(number: int, **more: object) -> Scheme:
    return Scheme(credited(*["answer"] * number), 4, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_one_failed_judge_among_four_equal_completions_moves_nothing(aggregation: str) -> None:
    rewards = torch.tensor([[1.0, 0.7], [1.0, NAN], [1.0, 0.7], [1.0, 0.7]])
    # As TRL has it: NaN sums as 0, and the completion whose judge failed is far below the others.
    sums = rewards.nansum(1)
    stock = (sums - sums.mean()) / (sums.std() + 1e-4)
    assert stock[1] < -1.4
    ours = advantages(fill_missing(rewards, 4), scheme(2, aggregation=aggregation), ALL)
    assert torch.equal(ours, torch.zeros(4))


def test_a_failed_judge_leaves_the_other_rewards_their_say() -> None:
    rewards = torch.tensor([[1.0, 0.2], [0.0, NAN], [0.0, 0.8], [1.0, 0.5]])
    filled = fill_missing(rewards, 4)
    assert filled[1, 1] == pytest.approx(0.5)
    found = advantages(filled, scheme(2, scale="none"), ALL)
    assert found.tolist() == pytest.approx([0.2, -0.5, -0.2, 0.5])


def test_what_applies_to_no_completion_is_zero_and_what_no_reward_applies_to_has_no_advantage() -> None:
    rewards = torch.tensor([[1.0, NAN], [0.0, NAN], [1.0, NAN], [NAN, NAN]])
    filled = fill_missing(rewards, 4)
    assert filled[:3, 1].tolist() == [0, 0, 0]
    assert filled[3].isnan().all()
    assert advantages(filled, scheme(2), ALL)[3] == 0


def test_equal_rewards_have_no_advantage_at_all() -> None:
    rewards = torch.full((4, 3), 0.1)
    assert torch.equal(advantages(rewards, scheme(3), ALL), torch.zeros(4))


def test_advantages_are_trls() -> None:
    torch.manual_seed(0)
    rewards = torch.randn(8, 2)
    sums = rewards.sum(1).view(2, 4)
    centred = sums - sums.mean(1, keepdim=True)
    for scale, spread in (("group", sums.std(1, keepdim=True)), ("batch", sums.std()), ("none", None)):
        expected = centred if spread is None else centred / (spread + 1e-4)
        assert advantages(rewards, scheme(2, scale=scale), ALL) == pytest.approx(expected.flatten(), abs=1e-5)


def test_tokens_after_the_grade_get_the_explanations_rewards_only() -> None:
    rewards = torch.tensor([[1.0, 0.0, 5.0], [0.0, 0.0, 5.0], [0.0, 4.0, 5.0], [1.0, 0.0, 5.0]])
    given = Scheme(credited("grade", "explanation", "answer"), 4, "none")
    found = by_token(rewards, given, torch.tensor([1, 1, 1, -1]), 4)
    assert found[0].tolist() == pytest.approx([0.5, 0.5, -1.0, -1.0])
    assert found[2].tolist() == pytest.approx([-0.5, -0.5, 3.0, 3.0])
    # Where the reasoning comes first, everything leads to the grade.
    assert found[3].tolist() == pytest.approx([-0.5] * 4)


def test_a_grade_that_is_not_sampled_has_no_advantage() -> None:
    given = torch.ones(2, 4)
    assert without_grade(given, torch.tensor([1, -1]), credited("grade", "answer")).tolist() == [
        [0, 0, 1, 1],
        [1, 1, 1, 1],
    ]
    assert without_grade(torch.ones(2), torch.tensor([1, -1]), credited("grade")).tolist() == [0, 1]
    both = credited("grade", "answer")
    assert without_grade(torch.ones(2), torch.tensor([1, 1]), both).tolist() == [1, 1]


@pytest.mark.parametrize(("scale", "aggregation"), [("group", "normalize_then_sum"), ("batch", "sum_then_normalize")])
def test_spreads_leave_out_what_is_no_number_as_trls_do(scale: str, aggregation: str) -> None:
    torch.manual_seed(1)
    rewards = torch.randn(8, 1)
    rewards[[2, 5]] = NAN
    if aggregation == "normalize_then_sum":
        grouped = rewards.view(2, 4)
        each = (grouped - grouped.nanmean(1, keepdim=True)) / (nanstd(grouped, dim=1, keepdim=True) + 1e-4)
        sums = each.flatten()
        wanted = (sums - sums.nanmean()) / (nanstd(sums) + 1e-4)
    else:
        grouped = rewards.view(2, 4)
        wanted = ((grouped - grouped.nanmean(1, keepdim=True)) / (nanstd(grouped.flatten()) + 1e-4)).flatten()
    found = advantages(rewards, scheme(1, scale=scale, aggregation=aggregation), ALL)
    assert found == pytest.approx(wanted.nan_to_num(nan=0.0), abs=1e-6)
