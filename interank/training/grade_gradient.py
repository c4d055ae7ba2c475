"""The grade's policy gradient without sampling: a sum over the three grades.

In grade-first order the grade is one of three tokens, whose probabilities come from one forward pass. The reward files
therefore value each of the three grades, with the other documents' grades weighted by the policy's probabilities, and
the expected reward is differentiated directly. The gradient of sampled grades has this one as its mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from interank import judging
from interank.rewards import WeightedReward
from interank.training.losses import scores
from interank.training.ranking_losses import Target, lambda_loss
from interank.types import GRADES, Judgment

ListwiseLoss = Literal["listnet", "lambda"]


@dataclass(frozen=True, slots=True)
class GradeLoss:
    """The loss of the grade besides, or in place of, sampling.

    `rewards` are those of the grade; none where the grade is sampled. `calibration` is the weight of the judged grade's
    log score, `listwise` that of the loss between a query's documents which `listwise_loss` names. With `instead`
    sampled grades are not trained.
    """

    rewards: Sequence[WeightedReward] = ()
    calibration: float = 0.0
    listwise: float = 0.0
    listwise_loss: ListwiseLoss = "listnet"
    instead: bool = False

    @property
    def counts(self) -> bool:
        """Whether there is a loss to compute."""
        return bool(self.rewards) or self.supervises

    @property
    def supervises(self) -> bool:
        """Whether the judged grades are learned directly."""
        return bool(self.calibration or self.listwise)

    def values(self, rows: Sequence[Mapping[str, Any]]) -> torch.Tensor:
        """The reward of each grade, of shape (rows, 3); 0 for rows that do not grade first.

        Args:
            rows: All rows of a batch, with TRL's columns and the policy's `probabilities`; pairs may repeat.
        """
        pairs = {(row["query_id"], row["doc_id"]): row for row in rows if row["order"] == "grade_first"}
        totals = dict.fromkeys(pairs, (0.0, 0.0, 0.0))
        combinations = [(pair, grade) for pair in pairs for grade in GRADES]
        columns = {
            name: [pairs[pair][name] for pair, _ in combinations]
            for name in ("query_id", "doc_id", "query", "document", "relevance", "probabilities", "order")
        }
        answers = [judging.answer(Judgment("", grade), "grade_first") for _, grade in combinations]
        share = [max(float(pairs[pair]["probabilities"][grade]), 1e-9) for pair, grade in combinations]
        for reward in self.rewards:
            values = reward(completions=answers, probability=share, **columns)
            for place, pair in enumerate(pairs):
                three = values[3 * place : 3 * place + 3]
                # None for all three where the reward does not apply to the pair.
                totals[pair] = _plus(totals[pair], [reward.weight * (value or 0.0) for value in three])
        nothing = (0.0, 0.0, 0.0)
        return torch.tensor([totals.get((row["query_id"], row["doc_id"]), nothing) for row in rows])

    def __call__(self, grades: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The mean loss over pairs.

        Args:
            grades: Log-probabilities among the three labels, of shape (pairs, 3), with gradient.
            batch: `grade_values` (pairs, 3), `judged` (pairs,) and `query` (pairs,), a number for each query.
        """
        loss = grades.new_zeros(())
        if self.rewards:
            loss = loss - (grades.exp() * batch["grade_values"]).sum(1).mean()
        if self.calibration:
            loss = loss - self.calibration * grades.gather(1, batch["judged"][:, None]).mean()
        if self.listwise:
            loss = loss + self.listwise * _between_documents(grades, batch, _BETWEEN[self.listwise_loss])
        return loss


def _plus(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = (a + b for a, b in zip(one, other, strict=True))
    return first, second, third


def _between_documents(grades: torch.Tensor, batch: Mapping[str, torch.Tensor], loss: _Between) -> torch.Tensor:
    """The mean over the queries with more than one judged grade."""
    parts = []
    for number in sorted({*batch["query"].tolist()}):
        own = batch["query"] == number
        judged = batch["judged"][own]
        if len({*judged.tolist()}) > 1:
            parts.append(loss(scores(grades[own]), judged))
    return torch.stack(parts).mean() if parts else grades.new_zeros(())


def _listnet(values: torch.Tensor, judged: torch.Tensor) -> torch.Tensor:
    """Cross-entropy between each document's share of the query's gain and the softmax of the scores."""
    gains = 2.0 ** judged.to(values) - 1
    return -(gains / gains.sum() * values.log_softmax(0)).sum()


_Between = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
_BETWEEN: Mapping[ListwiseLoss, _Between] = {
    "listnet": _listnet,
    "lambda": lambda values, judged: lambda_loss(values, Target(judged)),
}
