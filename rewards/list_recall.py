"""The share of the list's relevant documents that the completion ranks within a cutoff.

Value: the number of documents of grade `relevant_from` or higher among the first `cutoff`, divided by the most that
could be there, so that 1 can be reached with more relevant documents than `cutoff` too. Range 0 to 1; -1 for a
completion without a readable ranking, 0 for one that leaves documents out or names them twice, None where all documents
have one grade. The recall term of ReasonRank's reward (arXiv 2508.07050), which is not divided in this way.
"""

from __future__ import annotations

from collections.abc import Sequence

from interank.tasks.order.values import reward_values

OF = "lists"


def reward(
    *,
    completions: Sequence[str],
    grades: Sequence[Sequence[int]],
    cutoff: int = 10,
    relevant_from: int = 1,
    **_: object,
) -> list[float | None]:
    """One value a completion."""

    def recall(order: Sequence[int], judged: Sequence[int]) -> float:
        relevant = sum(grade >= relevant_from for grade in judged)
        ranked = sum(judged[place] >= relevant_from for place in order[:cutoff])
        return ranked / min(relevant, cutoff) if relevant else 0.0

    return reward_values(
        completions,
        grades,
        lambda orders, judged: [recall(order, row) for order, row in zip(orders, judged, strict=True)],
    )
