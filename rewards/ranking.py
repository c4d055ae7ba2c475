"""How well the completion's grade ranks its document among the query's others.

Value: the share of the pairs it makes with completions of the same query's other documents, judged to be of
another relevance, that its grade puts in the right order; equal grades count one half, as the mean over their
orders. Range 0 to 1, -1 for a completion without a readable grade, None where no such pair exists. A pairwise
form of the rank-aware rewards of ERank (arXiv 2509.00520) and ReasonRank (arXiv 2508.07050).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from interank.judging import parse

UNREADABLE = -1.0
# An unreadable completion ranks nothing, so whatever is compared with it is neither above nor below.
_EVEN = 0.5


def reward(
    *,
    completions: Sequence[str],
    query_id: Sequence[str],
    doc_id: Sequence[str],
    relevance: Sequence[int],
    **_: object,
) -> list[float | None]:
    """One value a completion."""
    grades = [judgment.relevance if (judgment := parse(completion)) else None for completion in completions]
    of_query: dict[str, list[int]] = defaultdict(list)
    for row, query in enumerate(query_id):
        of_query[query].append(row)
    values: list[float | None] = []
    for row, grade in enumerate(grades):
        if grade is None:
            values.append(UNREADABLE)
            continue
        wins = [
            _win(grade, grades[other], relevance[row], relevance[other])
            for other in of_query[query_id[row]]
            if doc_id[other] != doc_id[row] and relevance[other] != relevance[row]
        ]
        values.append(sum(wins) / len(wins) if wins else None)
    return values


def _win(grade: int, other: int | None, judged: int, other_judged: int) -> float:
    if other is None or grade == other:
        return _EVEN
    return float((grade > other) == (judged > other_judged))
