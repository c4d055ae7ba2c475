"""How well the completion orders its list: nDCG at a cutoff.

Value: DCG of the first `cutoff` documents over that of the best order, with gains equal to the judged grades and
discounts 1 / log2(rank + 1), as trec_eval computes it. Range 0 to 1; -1 for a completion without a readable ranking,
0 for one that leaves documents out or names them twice, None where all documents have one grade. The main term of
ReasonRank's reward (arXiv 2508.07050), which adds 0.2 `list_recall` and 0.1 `rank_biased_overlap`.
"""

from __future__ import annotations

from collections.abc import Sequence

from interank.tasks.judged_lists import order_values
from interank.tasks.order.values import reward_values

OF = "lists"


def reward(
    *, completions: Sequence[str], grades: Sequence[Sequence[int]], cutoff: int = 10, **_: object
) -> list[float | None]:
    """One value a completion."""
    return reward_values(
        completions, grades, lambda orders, judged: order_values(orders, judged, f"nDCG@{int(cutoff)}")
    )
