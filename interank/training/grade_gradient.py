"""The grade's policy gradient without sampling: summed over the three grades, and over the ranking they make.

In grade-first order the grade is one token of three that are read from one forward pass. So what a grade would earn is
asked of the reward files for each of the three, the other documents of the query taking each of theirs as likely as the
policy holds it, and the expected reward is differentiated as it stands. Sampling has this gradient in the mean.
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
    """What the grade is trained by besides, or in place of, sampling.

    `rewards` are those of the grade; none where the grade is sampled. `calibration` weighs the log
    score of the judged grade, `listwise` the loss between a query's documents that `listwise_loss` names. `instead`
    says that sampled grades are not trained.
    """

    rewards: Sequence[WeightedReward] = ()
    calibration: float = 0.0
    listwise: float = 0.0
    listwise_loss: ListwiseLoss = "listnet"
    instead: bool = False

    @property
    def counts(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self.rewards) or self.supervises

    @property
    def supervises(self) -> bool:
        """Whether the judged grades themselves are learned."""
        return bool(self.calibration or self.listwise)

    def values(self, rows: Sequence[Mapping[str, Any]]) -> torch.Tensor:
        """What each grade would earn, of shape (rows, 3); 0 for rows that do not grade first.

        Args:
            rows: A whole batch's, with TRL's columns and the policy's `probabilities`; equal pairs once suffices.
        """
        pairs = {(row["query_id"], row["doc_id"]): row for row in rows if row["order"] == "grade_first"}
        totals = dict.fromkeys(pairs, (0.0, 0.0, 0.0))
        asked = [(pair, grade) for pair in pairs for grade in GRADES]
        columns = {
            name: [pairs[pair][name] for pair, _ in asked]
            for name in ("query_id", "doc_id", "query", "document", "relevance", "probabilities", "order")
        }
        answers = [judging.answer(Judgment("", grade), "grade_first") for _, grade in asked]
        share = [max(float(pairs[pair]["probabilities"][grade]), 1e-9) for pair, grade in asked]
        for reward in self.rewards:
            found = reward(completions=answers, probability=share, **columns)
            for place, pair in enumerate(pairs):
                three = found[3 * place : 3 * place + 3]
                # None of all three: it does not apply to this pair, and says nothing of its grades.
                totals[pair] = _plus(totals[pair], [reward.weight * (value or 0.0) for value in three])
        nothing = (0.0, 0.0, 0.0)
        return torch.tensor([totals.get((row["query_id"], row["doc_id"]), nothing) for row in rows])

    def __call__(self, grades: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The loss of grades' log-probabilities, of shape (pairs, 3), a mean over the pairs.

        Args:
            grades: Among the three labels, with gradient.
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
    """The mean over the queries in which there is something to tell apart."""
    parts = []
    for number in sorted({*batch["query"].tolist()}):
        own = batch["query"] == number
        judged = batch["judged"][own]
        if len({*judged.tolist()}) > 1:
            parts.append(loss(scores(grades[own]), judged))
    return torch.stack(parts).mean() if parts else grades.new_zeros(())


def _listnet(found: torch.Tensor, judged: torch.Tensor) -> torch.Tensor:
    """Cross-entropy between the shares of a query's gain and the softmax of its scores."""
    gains = 2.0 ** judged.to(found) - 1
    return -(gains / gains.sum() * found.log_softmax(0)).sum()


_Between = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
_BETWEEN: Mapping[ListwiseLoss, _Between] = {
    "listnet": _listnet,
    "lambda": lambda found, judged: lambda_loss(found, Target(judged)),
}
