"""How much better the query's documents are ranked with the completion's grade than with a random one.

The measure of a query's ranking:

* `pairwise` (default): the mean over its documents of the share of the other documents, judged of another relevance,
  that the grades put on the right side of the document. 0 to 1.
* `reciprocal_rank`: the mean over its documents of c / rank, where c is half the difference between the document's
  judged relevance and the mean of the others': a relevant document gains by ranking first, an irrelevant one loses.
  After ERank (arXiv 2509.00520), which found the reciprocal rank best.
* `ndcg`: nDCG of the whole ranking, linear gains and log2 discounts as trec_eval has them. 0 to 1.

The measure is an expectation over the other documents' completions, weighted by `probability` (all alike without it),
and over the orders of ties. Value: n * (M(g) - mean of M(0), M(1), M(2)), where n is the query's number of documents
and M(g) the measure where this document has grade g; 0 where the grade makes no difference. Thanks to the factor n the
mean over the documents of a policy gradient on these values is the gradient of the query's expected measure, which
includes a grade's effect on the other documents' ranks.

An unreadable completion gets 1 less than the worst grade of its document, and counts as half above and half below each
document that it is compared with. None where all documents of the query have the same judged relevance.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import accumulate
from statistics import fmean
from typing import NamedTuple

from interank.errors import InputError
from interank.judging import parse
from interank.types import GRADES

CREDIT = "grade"
# The value of an unreadable completion less that of the worst readable one.
UNREADABLE = -1.0

Chances = tuple[float, float, float]
"""The probabilities that a document ranks above, level with and below another."""
# An unreadable completion gives no order: half above, half below.
_UNKNOWN: Chances = (0.5, 0.0, 0.5)


class Document(NamedTuple):
    """A document's judged relevance, and the probability of each grade among its completions (None: unreadable)."""

    relevance: int
    grades: dict[int | None, float]


Measure = Callable[[dict[str, Document], str], Sequence[float]]
"""From a query's documents and the id of one: for each grade of this one, the measure's sum over all documents."""


def reward(
    *,
    completions: Sequence[str],
    query_id: Sequence[str],
    doc_id: Sequence[str],
    relevance: Sequence[int],
    probability: Sequence[float] | None = None,
    measure: str = "pairwise",
    **_: object,
) -> list[float | None]:
    """One value a completion."""
    if measure not in _MEASURES:
        raise InputError(f"reward ranking: measure is {measure!r}; it has to be one of {', '.join(_MEASURES)}")
    grades = [judgment.relevance if (judgment := parse(completion)) else None for completion in completions]
    queries = _documents(grades, query_id, doc_id, relevance, probability or [1.0] * len(grades))
    known = {
        (query, name): _centred(_MEASURES[measure](documents, name))
        for query, documents in queries.items()
        if len({item.relevance for item in documents.values()}) > 1
        for name in documents
    }
    values: list[float | None] = []
    for grade, pair in zip(grades, zip(query_id, doc_id, strict=True), strict=True):
        three = known.get(pair)
        if grade is None:
            values.append(min(three or (0.0,)) + UNREADABLE)
        else:
            values.append(three[grade] if three else None)
    return values


def _centred(three: Sequence[float]) -> tuple[float, ...]:
    """The values less their mean, which no completion changes."""
    mean = fmean(three)
    return tuple(value - mean for value in three)


def _documents(
    grades: Sequence[int | None],
    query_id: Sequence[str],
    doc_id: Sequence[str],
    relevance: Sequence[int],
    probability: Sequence[float],
) -> dict[str, dict[str, Document]]:
    queries: dict[str, dict[str, Document]] = defaultdict(dict)
    # Sorted, so that sums do not depend on the order of rows.
    rows = sorted(
        zip(query_id, doc_id, [-1 if grade is None else grade for grade in grades], probability, relevance, strict=True)
    )
    for query, document, given, share, judged in rows:
        likely = queries[query].setdefault(document, Document(judged, {})).grades
        grade = None if given < 0 else given
        likely[grade] = likely.get(grade, 0.0) + share
    return {
        query: {
            name: Document(item.relevance, {g: p / sum(item.grades.values()) for g, p in item.grades.items()})
            for name, item in documents.items()
        }
        for query, documents in queries.items()
    }


def _pairwise(documents: dict[str, Document], own: str) -> Sequence[float]:
    compared = {
        name: sum(other.relevance != item.relevance for other in documents.values()) for name, item in documents.items()
    }
    relevance = documents[own].relevance
    totals = [0.0] * len(GRADES)
    for name, other in documents.items():
        if other.relevance != relevance:
            # The pair counts for this document and for the other.
            weight = 1 / compared[own] + 1 / compared[name]
            for grade in GRADES:
                above, level, below = _chances(other.grades, grade)
                totals[grade] += weight * ((below if relevance > other.relevance else above) + level / 2)
    return totals


def _reciprocal_rank(documents: dict[str, Document], own: str) -> Sequence[float]:
    mean = fmean(item.relevance for item in documents.values())
    # Times this, the difference to the mean of all is half the difference to the mean of the others.
    share = len(documents) / (len(documents) - 1) / 2
    weights = {name: share * (item.relevance - mean) for name, item in documents.items()}
    return _by_rank(documents, own, weights, lambda rank: 1 / rank)


def _ndcg(documents: dict[str, Document], own: str) -> Sequence[float]:
    best = sorted((item.relevance for item in documents.values()), reverse=True)
    ideal = sum(gain * _discount(rank) for rank, gain in enumerate(best, start=1))
    weights = {name: len(documents) * item.relevance / ideal for name, item in documents.items()}
    return _by_rank(documents, own, weights, _discount)


def _by_rank(
    documents: dict[str, Document], own: str, weights: dict[str, float], value: Callable[[int], float]
) -> Sequence[float]:
    """The sum of each document's weight times the value of its rank."""
    totals = []
    for grade in GRADES:
        fixed = {**documents, own: Document(documents[own].relevance, {grade: 1.0})}
        total = 0.0
        for name, item in fixed.items():
            others = [other.grades for place, other in fixed.items() if place != name]
            for given, likely in item.grades.items() if weights[name] else ():
                chances = [_UNKNOWN if given is None else _chances(other, given) for other in others]
                total += weights[name] * likely * _expected(chances, value)
        totals.append(total)
    return totals


def _discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)


def _chances(others: dict[int | None, float], grade: int) -> Chances:
    """The probabilities that a document with these grades ranks above, level with and below this grade."""
    above = level = below = 0.0
    for other, share in others.items():
        if other is None:
            above, below = above + share / 2, below + share / 2
        elif other == grade:
            level += share
        elif other > grade:
            above += share
        else:
            below += share
    return above, level, below


def _expected(others: Sequence[Chances], value: Callable[[int], float]) -> float:
    """The expected value of a document's rank among independent others."""
    # The probability of each pair of numbers: documents above it, documents level with it.
    counts: dict[tuple[int, int], float] = {(0, 0): 1.0}
    for above, level, below in others:
        after: dict[tuple[int, int], float] = defaultdict(float)
        for (higher, tied), share in counts.items():
            for state, chance in (((higher + 1, tied), above), ((higher, tied + 1), level), ((higher, tied), below)):
                if chance:
                    after[state] += share * chance
        counts = after
    sums = list(accumulate((value(rank) for rank in range(1, len(others) + 2)), initial=0.0))
    return sum(p * (sums[higher + tied + 1] - sums[higher]) / (tied + 1) for (higher, tied), p in counts.items())


_MEASURES: dict[str, Measure] = {
    "pairwise": _pairwise,
    "reciprocal_rank": _reciprocal_rank,
    "ndcg": _ndcg,
}
