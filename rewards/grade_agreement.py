"""How much better the completion's grade agrees with the judged one than by chance.

Agreement is S(g, y) = 1 - |g - y| / 2. Value: w(y) * (S(g, y) - mean of S(g, c) over the grades c that the query's
documents have, g among them). As in Cohen's kappa, the second term is the agreement by chance: a policy that gives
every document the same grade gets 0 in sum, or less where no document has that grade, so hedging at 1 does not pay.
w(y) = documents / (different grades * documents judged y) gives every grade of a query the same weight; it only acts
with `scale_rewards: none` or `batch`, since scaling by the group cancels it. Range -w/2 to w/2; -w where no grade can
be read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from interank.judging import parse

CREDIT = "grade"


def reward(
    *,
    completions: Sequence[str],
    query_id: Sequence[str],
    doc_id: Sequence[str],
    relevance: Sequence[int],
    **_: object,
) -> list[float | None]:
    """One value a completion."""
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    for query, document, grade in zip(query_id, doc_id, relevance, strict=True):
        judged[query][document] = grade
    values: list[float | None] = []
    for completion, query, right in zip(completions, query_id, relevance, strict=True):
        grades = list(judged[query].values())
        weight = len(grades) / (len(set(grades)) * grades.count(right))
        judgment = parse(completion)
        values.append(-weight if judgment is None else weight * _above_chance(judgment.relevance, right, set(grades)))
    return values


def _above_chance(given: int, right: int, grades: set[int]) -> float:
    return _agreement(given, right) - fmean(_agreement(given, grade) for grade in sorted({*grades, given}))


def _agreement(given: int, right: int) -> float:
    return 1.0 - abs(given - right) / 2
