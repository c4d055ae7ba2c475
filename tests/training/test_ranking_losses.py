"""The losses of heads against slow computations of their own, against finite differences, and against DeAR's faults."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import numpy
import pytest
import torch

from interank.errors import TrainingError
from interank.settings.heads import Objective
from interank.training.ranking_losses import MAIN, HeadLoss, Target, distillation

Numbers = list[float]

GROUPS = {
    "binary": ([0.3, -1.2, 2.5, 0.9], [2, 0, 0, 0], [3.0, -0.5, 1.5, -2.0]),
    "graded": ([1.5, 1.4, -0.2, 0.1, -3.0], [0, 2, 1, 1, 2], [0.2, 4.0, 1.0, 0.5, 2.0]),
    "pair": ([-0.7, 0.4], [2, 0], [1.0, -1.0]),
    # More documents than LambdaRank looks at.
    "deep": ([math.sin(3 * i) for i in range(14)], [(i * 7) % 3 for i in range(14)], [math.cos(i) for i in range(14)]),
}


def softmax(values: Numbers) -> Numbers:
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total for value in values]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def cross_entropy(s: Numbers, y: list[int], t: Numbers) -> float:
    best = [i for i in range(len(s)) if y[i] == max(y)]
    return sum(-math.log(softmax(s)[i]) for i in best) / len(best)


def binary_cross_entropy(s: Numbers, y: list[int], t: Numbers) -> float:
    total = 0.0
    for score, grade in zip(s, y, strict=True):
        g = {0: 0.0, 1: 0.5, 2: 1.0}[grade]
        total -= g * math.log(sigmoid(score)) + (1 - g) * math.log(1 - sigmoid(score))
    return total / len(s)


def ranknet(s: Numbers, y: list[int], t: Numbers) -> float:
    losses = []
    for i in range(len(s)):
        for j in range(i + 1, len(s)):
            wanted, found = sigmoid(t[i] - t[j]), sigmoid(s[i] - s[j])
            losses.append(-(wanted * math.log(found) + (1 - wanted) * math.log(1 - found)))
    return sum(losses) / len(losses)


def ranknet_hard(s: Numbers, y: list[int], t: Numbers) -> float:
    losses = [-math.log(sigmoid(s[i] - s[j])) for i in range(len(s)) for j in range(len(s)) if y[i] > y[j]]
    return sum(losses) / len(losses)


def listnet(s: Numbers, y: list[int], t: Numbers) -> float:
    return -sum(p * math.log(q) for p, q in zip(softmax([float(g) for g in y]), softmax(s), strict=True))


def lambda_loss(s: Numbers, y: list[int], t: Numbers) -> float:
    """By swapping the two documents and computing nDCG@10 again, ranks and all."""
    order = sorted(range(len(s)), key=lambda i: -s[i])

    def ndcg(ranking: list[int]) -> float:
        def dcg(grades: list[int]) -> float:
            return sum((2**g - 1) / math.log2(place + 2) for place, g in enumerate(grades[:10]))

        return dcg([y[i] for i in ranking]) / dcg(sorted(y, reverse=True))

    total = 0.0
    for i in range(len(s)):
        for j in range(len(s)):
            if y[i] > y[j]:
                swapped = list(order)
                at, other = swapped.index(i), swapped.index(j)
                swapped[at], swapped[other] = j, i
                total += abs(ndcg(swapped) - ndcg(order)) * -math.log(sigmoid(s[i] - s[j]))
    return total


def kl(s: Numbers, t: Numbers, temperature: float) -> float:
    wanted, found = softmax([v / temperature for v in t]), softmax([v / temperature for v in s])
    return temperature**2 * sum(p * math.log(p / q) for p, q in zip(wanted, found, strict=True))


SLOW: dict[str, Callable[[Numbers, list[int], Numbers], float]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "ranknet": ranknet,
    "ranknet_hard": ranknet_hard,
    "listnet": listnet,
    "lambda": lambda_loss,
}


def target_of(y: list[int], t: Numbers | None) -> Target:
    return Target(torch.tensor(y), None if t is None else torch.tensor(t, dtype=torch.float64))


def scored(s: Numbers) -> torch.Tensor:
    return torch.tensor(s, dtype=torch.float64, requires_grad=True)


def test_every_objective_of_a_recipe_has_its_loss() -> None:
    assert set(MAIN) == set(get_args(Objective)) == set(SLOW)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("objective", SLOW)
def test_losses_are_their_equations(objective: Objective, group: str) -> None:
    s, y, t = GROUPS[group]
    found = MAIN[objective](scored(s), target_of(y, t))
    assert float(found.detach()) == pytest.approx(SLOW[objective](s, y, t), rel=1e-9)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("objective", [name for name in SLOW if name != "ranknet"])
def test_each_documents_terms_count_by_its_weight(objective: Objective, group: str) -> None:
    s, y, _ = GROUPS[group]
    plain = SLOW[objective](s, y, s)

    def weighed(weights: Numbers) -> float:
        target = Target(torch.tensor(y), weights=torch.tensor(weights, dtype=torch.float64))
        return float(MAIN[objective](scored(s), target).detach())

    parts = [weighed([float(one == place) for one in range(len(s))]) for place in range(len(s))]
    assert sum(parts) == pytest.approx(plain, rel=1e-9)
    weights = [0.5 + place for place in range(len(s))]
    told = sum(weight * part for weight, part in zip(weights, parts, strict=True))
    assert weighed(weights) == pytest.approx(told, rel=1e-9)
    if objective in ("ranknet_hard", "lambda"):
        # A pair is the better document's.
        assert [part for part, grade in zip(parts, y, strict=True) if grade == 0] == [0.0] * y.count(0)
        best = [part for part, grade in zip(parts, y, strict=True) if grade == max(y)]
        assert max(best) > 0


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("objective", SLOW)
def test_with_a_teacher_a_share_of_the_loss_is_distillation(objective: Objective, group: str) -> None:
    s, y, t = GROUPS[group]
    found = HeadLoss(objective, alpha=0.3, temperature=2.5)(scored(s), target_of(y, t))
    wanted = 0.7 * SLOW[objective](s, y, t) + 0.3 * kl(s, t, 2.5)
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-9)
    if objective != "ranknet":
        alone = HeadLoss(objective, alpha=0.3)(scored(s), target_of(y, None))
        assert float(alone.detach()) == pytest.approx(SLOW[objective](s, y, t), rel=1e-9)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("objective", SLOW)
def test_gradients_are_those_of_finite_differences(objective: Objective, group: str) -> None:
    s, y, t = GROUPS[group]
    loss = HeadLoss(objective, alpha=0.3, temperature=2.5)
    scores = scored(s)
    loss(scores, target_of(y, t)).backward()
    assert scores.grad is not None
    step = 1e-6
    for place in range(len(s)):
        moved = [[v + sign * step * (i == place) for i, v in enumerate(s)] for sign in (1, -1)]
        up, down = (float(loss(scored(each), target_of(y, t)).detach()) for each in moved)
        assert float(scores.grad[place]) == pytest.approx((up - down) / (2 * step), abs=2e-8)


def test_adding_a_number_to_all_scores_changes_only_binary_cross_entropy() -> None:
    s, y, t = GROUPS["graded"]
    changed = set()
    for objective in SLOW:
        losses = [float(MAIN[objective](scored([v + c for v in s]), target_of(y, t)).detach()) for c in (0.0, 5.0)]  # type: ignore[index]
        if abs(losses[0] - losses[1]) > 1e-9:
            changed.add(objective)
    assert changed == {"binary_cross_entropy"}


def test_of_two_documents_cross_entropy_is_the_pairwise_logistic_loss() -> None:
    """What DeAR trains with one negative, under whatever name."""
    s, y, _ = GROUPS["pair"]
    found = float(MAIN["cross_entropy"](scored(s), target_of(y, None)).detach())
    assert found == pytest.approx(math.log1p(math.exp(-(s[0] - s[1]))), rel=1e-12)


def test_the_distillation_is_not_the_cards() -> None:
    """The card of DeAR-3B CE writes KL(student || teacher) and no T^2."""
    s, _, t = GROUPS["binary"]
    found = float(distillation(torch.tensor(s), torch.tensor(t), 2.0))
    assert found == pytest.approx(kl(s, t, 2.0), rel=1e-5)
    assert abs(found - kl(t, s, 2.0)) > 1e-2
    assert abs(found - kl(s, t, 2.0) / 4) > 1e-2


def test_hard_ranknet_does_not_pull_negatives_together_nor_stop_at_a_difference_of_one() -> None:
    """Two faults of DeAR's `ranknet_binary`."""
    scores = scored([4.0, 1.0, -2.0])
    MAIN["ranknet_hard"](scores, target_of([2, 0, 0], None)).backward()
    assert scores.grad is not None
    gradient = scores.grad.tolist()
    # The positive is still pushed up at a difference of 3, and each negative down by its own pair alone.
    assert gradient[0] < 0
    expected = [sigmoid(-(4.0 - v)) / 2 for v in (1.0, -2.0)]
    assert gradient[1:] == pytest.approx(expected, rel=1e-12)


def test_soft_ranknet_without_a_teacher_is_told() -> None:
    with pytest.raises(TrainingError, match=r"teacher or teacher_scores.*ranknet_hard"):
        HeadLoss("ranknet")(scored([1.0, 2.0]), target_of([2, 0], None))


def test_large_scores_give_numbers() -> None:
    s, y, t = [400.0, -400.0, 90.0], [0, 2, 1], [-300.0, 500.0, 0.0]
    for objective in SLOW:
        scores = torch.tensor(s, requires_grad=True)
        loss = HeadLoss(objective)(scores, target_of(y, t))  # type: ignore[arg-type]
        loss.backward()
        assert scores.grad is not None
        assert numpy.isfinite([float(loss.detach()), *scores.grad.tolist()]).all()
