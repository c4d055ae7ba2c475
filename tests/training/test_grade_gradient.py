"""The summed gradient of the grade is what sampling would have in the mean."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from interank.rewards import Reward, WeightedReward
from interank.settings import RewardRecipe
from interank.training.grade_gradient import GradeLoss
from tests.support.query_measures import MEASURES, over_all_orders

RELEVANCE = (2, 1, 0)


def rows(grades: torch.Tensor, relevance: Sequence[int] = RELEVANCE) -> list[dict[str, Any]]:
    return [
        {
            "query_id": "q",
            "doc_id": f"d{place}",
            "query": "?",
            "document": ".",
            "order": "grade_first",
            "relevance": judged,
            "probabilities": grades[place].softmax(0).tolist(),
        }
        for place, judged in enumerate(relevance)
    ]


def sampled_gradient(logits: torch.Tensor, reward: Reward) -> torch.Tensor:
    """The score-function gradient of every document's own reward, over all 27 joint outcomes."""
    total = torch.zeros_like(logits)
    for outcome in itertools.product(range(3), repeat=3):
        values = reward(
            completions=[f"Relevance Label: {grade}" for grade in outcome],
            query_id=["q"] * 3,
            doc_id=["d0", "d1", "d2"],
            relevance=list(RELEVANCE),
        )
        chances = logits.softmax(1)[range(3), list(outcome)]
        for place, value in enumerate(values):
            score = torch.nn.functional.one_hot(torch.tensor(outcome[place]), 3) - logits[place].softmax(0)
            total[place] += chances.prod() * (value or 0.0) * score
    return total / 3


@pytest.mark.parametrize(
    ("use", "params"),
    [
        ("grade_agreement", {}),
        ("ranking", {}),
        ("ranking", {"measure": "reciprocal_rank"}),
        ("ranking", {"measure": "ndcg"}),
    ],
)
def test_it_is_the_mean_of_what_sampling_gives(use: str, params: dict[str, Any]) -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    reward = Reward.from_recipe(RewardRecipe(use=use, params=params))
    loss = GradeLoss([WeightedReward(reward)])
    values = loss.values(rows(logits.detach())).double()
    batch = {"grade_values": values, "judged": torch.tensor(RELEVANCE), "query": torch.zeros(3, dtype=torch.long)}
    loss(logits.log_softmax(1), batch).backward()
    assert logits.grad is not None
    # The loss falls where the reward rises.
    assert -logits.grad == pytest.approx(sampled_gradient(logits.detach(), reward), abs=1e-6)


def exact_gradient(logits: torch.Tensor, relevance: Sequence[int], measure: str) -> torch.Tensor:
    """What the loss's gradient with respect to the grades' logits is, upwards."""
    given = logits.detach().requires_grad_()
    loss = GradeLoss([Reward.from_recipe(RewardRecipe(use="ranking", params={"measure": measure})).equipped()])
    number = len(relevance)
    batch = {
        "grade_values": loss.values(rows(logits.detach(), relevance)).double(),
        "judged": torch.tensor(relevance),
        "query": torch.zeros(number, dtype=torch.long),
    }
    [found] = torch.autograd.grad(-loss(given.log_softmax(1), batch), given)
    return found


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("relevance", [(2, 1, 0), (2, 0, 0), (0, 1), (1, 2, 0, 0), (2, 1, 1, 0)])
def test_it_is_the_gradient_of_the_querys_expected_measure(measure: str, relevance: Sequence[int]) -> None:
    """Beside autograd through the sum over all joint outcomes of the documents' grades, and all orders of ties."""
    torch.manual_seed(len(relevance))
    for _ in range(3):
        logits = (2 * torch.randn(len(relevance), 3, dtype=torch.float64)).requires_grad_()
        chances = logits.softmax(1)
        expected = logits.new_zeros(())
        for outcome in itertools.product(range(3), repeat=len(relevance)):
            value = over_all_orders(outcome, lambda order: MEASURES[measure](relevance, order))
            expected = expected + chances[range(len(outcome)), list(outcome)].prod() * value
        [wanted] = torch.autograd.grad(expected, logits)
        assert exact_gradient(logits, relevance, measure) == pytest.approx(wanted, abs=1e-5)


def test_rows_that_reason_first_are_worth_nothing_to_it() -> None:
    given = rows(torch.zeros(3, 3))
    given[0]["order"] = "reason_first"
    values = GradeLoss([Reward.from_recipe(RewardRecipe(use="grade_agreement")).equipped()]).values(given)
    assert not values[0].any()
    assert values[2, 0] > values[2, 2]


def test_calibration_and_lists_are_plain_cross_entropies() -> None:
    grades = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]).log()
    batch = {"judged": torch.tensor([0, 2]), "query": torch.tensor([0, 0]), "grade_values": torch.zeros(2, 3)}
    assert float(GradeLoss(calibration=2.0)(grades, batch)) == pytest.approx(-2 * float(torch.tensor(0.7).log()))
    scores = torch.tensor([(0.2 + 0.2) / (1.4 + 0.2), (0.2 + 1.4) / (0.2 + 0.2)]).log()
    assert float(GradeLoss(listwise=1.0)(grades, batch)) == pytest.approx(-float(scores.log_softmax(0)[1]), abs=1e-5)
    assert not GradeLoss().counts


def test_lambda_weighs_a_pair_by_what_it_changes_of_ndcg() -> None:
    """The relevant document stands second of two: changing places changes nDCG by 1 - 1 / log2(3)."""
    grades = torch.tensor([[0.1, 0.2, 0.7], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]).log()
    batch = {"judged": torch.tensor([0, 2, 1]), "query": torch.tensor([0, 0, 1]), "grade_values": torch.zeros(3, 3)}
    high, low = math.log((0.2 + 1.4) / (0.2 + 0.2)), math.log((0.2 + 0.2) / (1.4 + 0.2))
    wanted = (1 - 1 / math.log2(3)) * math.log(1 + math.exp(high - low))
    found = GradeLoss(listwise=2.0, listwise_loss="lambda")(grades, batch)
    # The second query has one document, and nothing to be told apart.
    assert float(found) == pytest.approx(2 * wanted, rel=1e-5)
