"""Ranking losses of heads over a query's documents (a group), and distillation of a teacher's scores.

Every loss is of one group: scores s, grades y (0, 1 or 2) and the teacher's scores t, all of shape (documents,). A
batch's loss is the mean over its groups.

Where documents have weights, a document's term is multiplied by its weight and a pair's term by that of the better
document, as clicks are by their inverse propensity (Joachims et al., WSDM 2017, arXiv 1608.04468). Distillation and
`ranknet`, which learn from a teacher, are not weighted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from interank.errors import TrainingError
from interank.settings.heads import Objective
from interank.types import Relevance

# The depth of the reported measure, nDCG@10.
LAMBDA_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Target:
    """The targets of a group's scores; `teacher` is None where nothing is distilled."""

    grades: torch.Tensor
    teacher: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    """Each document's weight; None where each is 1."""

    def weighed(self, losses: torch.Tensor, of: torch.Tensor | None = None) -> torch.Tensor:
        """The losses of all documents, or of those at the indices `of`, each times its document's weight."""
        if self.weights is None:
            return losses
        return losses * (self.weights if of is None else self.weights[of])


@dataclass(frozen=True, slots=True)
class HeadLoss:
    """`(1 - alpha) * main + alpha * distillation`; without a teacher's scores the main loss alone.

    This is DeAR's loss (arXiv 2508.16998; its code's `modeling.py`), with alpha 0.1 and temperature 2.
    """

    objective: Objective
    alpha: float = 0.1
    temperature: float = 2.0

    def __call__(self, scores: torch.Tensor, target: Target) -> torch.Tensor:
        """The loss of one group, a scalar."""
        main = MAIN[self.objective](scores, target)
        if target.teacher is None:
            return main
        return (1 - self.alpha) * main + self.alpha * distillation(scores, target.teacher, self.temperature)


def distillation(scores: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """`T^2 * KL(softmax(t/T) || softmax(s/T))` over the group (Hinton et al., arXiv 1503.02531, section 2).

    T^2 keeps the gradient's size as T grows. DeAR's model cards have the arguments the other way round and no T^2.
    """
    target = (teacher / temperature).log_softmax(0)
    student = (scores / temperature).log_softmax(0)
    return temperature**2 * (target.exp() * (target - student)).sum()


def cross_entropy(scores: torch.Tensor, target: Target) -> torch.Tensor:
    """`-log softmax(s)` at the relevant document, which DeAR's cards call BCE.

    RankLLaMA's loss (Ma et al., arXiv 2310.08319, section 3): one positive against the other documents of its query.
    Where several documents share the highest grade, each takes an equal part.
    """
    best = (target.grades == target.grades.max()).to(scores)
    return -target.weighed(best / best.sum() * scores.log_softmax(0)).sum()


def binary_cross_entropy(scores: torch.Tensor, target: Target) -> torch.Tensor:
    """Mean over documents of `-(g * log sigmoid(s) + (1 - g) * log(1 - sigmoid(s)))`, where g is y / 2.

    monoBERT's loss (Nogueira & Cho, arXiv 1901.04085, equation 1) as a mean; a partially relevant document counts
    half. It fixes the scores themselves, so that sigmoid(s) = 0.5 has a meaning; the other losses fix differences only.
    """
    wanted = target.grades.to(scores) / int(Relevance.RELEVANT)
    return target.weighed(binary_cross_entropy_with_logits(scores, wanted, reduction="none")).mean()


def ranknet(scores: torch.Tensor, target: Target) -> torch.Tensor:
    """Mean over pairs i < j of `-(P * log sigmoid(s_i - s_j) + (1 - P) * log(1 - sigmoid(s_i - s_j)))`.

    RankNet (Burges et al., ICML 2005, equations 1 to 3) with the teacher's soft target `P = sigmoid(t_i - t_j)`.

    Raises:
        TrainingError: There is no teacher.
    """
    if target.teacher is None:
        raise TrainingError(
            "objective: ranknet learns the differences of a teacher's scores, and there is no teacher; set teacher or "
            "teacher_scores, or take ranknet_hard"
        )
    first, second = torch.triu_indices(len(scores), len(scores), offset=1, device=scores.device)
    wanted = torch.sigmoid(target.teacher[first] - target.teacher[second]).to(scores)
    return binary_cross_entropy_with_logits(scores[first] - scores[second], wanted)


def ranknet_hard(scores: torch.Tensor, target: Target) -> torch.Tensor:
    """Mean over pairs with `y_i > y_j` of `log(1 + exp(-(s_i - s_j)))`: RankNet with the target P = 1.

    DeAR's `ranknet_binary` has P = sigmoid(1) = 0.73 for such pairs, whose optimum is a difference of 1, and 0.5 for
    two negatives, which pulls them together; here documents of one grade are not compared.
    """
    better, worse = _pairs(target.grades)
    return target.weighed(softplus(-(scores[better] - scores[worse])), better).mean()


def listnet(scores: torch.Tensor, target: Target) -> torch.Tensor:
    """`-sum(softmax(y) * log softmax(s))`: ListNet's top-one loss (Cao et al., ICML 2007, section 5).

    DeAR's `listnet_teacher` is the distillation term alone: alpha 1 and temperature 1.
    """
    return -target.weighed(target.grades.to(scores).softmax(0) * scores.log_softmax(0)).sum()


def lambda_loss(scores: torch.Tensor, target: Target) -> torch.Tensor:
    """Sum over pairs with `y_i > y_j` of `|dNDCG_ij| * log(1 + exp(-(s_i - s_j)))`.

    LambdaRank as a loss (Burges, MSR-TR-2010-82, section 4; Wang et al., CIKM 2018, equation 12, in natural
    logarithms): dNDCG_ij is the change of nDCG@10 when i and j swap ranks in the order of the scores, with gains
    2^y - 1 and discounts 1 / log2(1 + rank). The ranks are constants: no gradient goes through them.
    """
    better, worse = _pairs(target.grades)
    gains = (2.0 ** target.grades.to(scores) - 1) / _ideal(target.grades.to(scores))
    ranks = scores.detach().argsort(descending=True, stable=True).argsort()
    discounts = _discounts(len(scores), scores)[ranks]
    change = (gains[better] - gains[worse]).abs() * (discounts[better] - discounts[worse]).abs()
    return target.weighed(change * softplus(-(scores[better] - scores[worse])), better).sum()


MAIN: Mapping[Objective, Callable[[torch.Tensor, Target], torch.Tensor]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "ranknet": ranknet,
    "ranknet_hard": ranknet_hard,
    "listnet": listnet,
    "lambda": lambda_loss,
}


def _pairs(grades: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The indices of all pairs of a better and a worse document."""
    better, worse = (grades[:, None] > grades[None, :]).nonzero(as_tuple=True)
    return better, worse


def _discounts(documents: int, like: torch.Tensor) -> torch.Tensor:
    """`1 / log2(1 + rank)` of ranks 1 to n, and 0 beyond `LAMBDA_DEPTH`."""
    ranks = torch.arange(1, documents + 1, device=like.device)
    return torch.where(ranks <= LAMBDA_DEPTH, 1 / torch.log2(1 + ranks.to(like)), 0.0).to(like)


def _ideal(grades: torch.Tensor) -> torch.Tensor:
    """The DCG of the best order."""
    return ((2.0 ** grades.sort(descending=True).values - 1) * _discounts(len(grades), grades)).sum()
