"""The overlap of the completion's ranking with the judged one at every depth; the first ranks count most.

Value: sum over d of p^(d-1) A(d), divided by the sum of p^(d-1), where A(d) is the share of the first d documents that
the judged order has among its first d, and p the `persistence` (rank-biased overlap: Webber, Moffat and Zobel, A
Similarity Measure for Indefinite Rankings, 2010). The division gives the best order of a finite list 1. The judged
order has the higher grade first; documents of one grade keep the completion's order, since the judgments do not order
them. Range 0 to 1; -1 for a completion without a readable ranking, 0 for one that leaves documents out or names them
twice, None where all documents have one grade. ReasonRank (arXiv 2508.07050) gives it weight 0.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from interank.tasks.order.values import reward_values

OF = "lists"


def reward(
    *, completions: Sequence[str], grades: Sequence[Sequence[int]], persistence: float = 0.9, **_: object
) -> list[float | None]:
    """One value a completion."""
    return reward_values(
        completions,
        grades,
        lambda orders, judged: [_overlap(order, row, persistence) for order, row in zip(orders, judged, strict=True)],
    )


def _overlap(order: Sequence[int], grades: Sequence[int], persistence: float) -> float:
    ideal = sorted(order, key=lambda place: -grades[place])
    total = weights = 0.0
    for depth in range(1, len(order) + 1):
        weight = persistence ** (depth - 1)
        total += weight * len(set(order[:depth]) & set(ideal[:depth])) / depth
        weights += weight
    return total / weights
