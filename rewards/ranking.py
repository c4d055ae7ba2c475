"""How well the completion's grade ranks its document among the query's others.

Every other document of the query takes one of its own completions' grades, each as likely as `probability` says (all
alike without it), and the value is the expectation over that, ties as the mean over their orders:

* `pairwise` (default): the share of the other documents, judged to be of another relevance, that the grade puts on the
  right side. 0 to 1.
* `reciprocal_rank`: c / rank, where c is half of how far the document's judged relevance lies above the mean of the
  others': a relevant document gains by standing first, an irrelevant one loses. -1 to 1. After ERank (arXiv
  2509.00520), which found the reciprocal rank best.
* `ndcg`: nDCG of the whole ranking, linear gains and log2 discounts as trec_eval has them. 0 to 1.

An unreadable completion gets -1 (-2 under `reciprocal_rank`, whose readable ones may get -1), and counts half above and
half below whatever it is compared with. None where all documents of the query are judged alike.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from interank.errors import InputError
from interank.judging import parse

CREDIT = "grade"
UNREADABLE = -1.0

Chances = tuple[float, float, float]
"""How likely a document stands above, level with and below another."""
# An unreadable completion ranks nothing, so whatever is compared with it is neither above nor below.
_UNKNOWN: Chances = (0.5, 0.0, 0.5)


class Document(NamedTuple):
    """A document of a query: its judged relevance, and how likely its completions give each grade (None: none)."""

    relevance: int
    grades: dict[int | None, float]


Measure = Callable[[int, dict[str, Document], str], float]


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
        raise InputError(f"reward ranking: measure {measure!r} was found, one of {', '.join(_MEASURES)} is expected")
    grades = [judgment.relevance if (judgment := parse(completion)) else None for completion in completions]
    queries = _documents(grades, query_id, doc_id, relevance, probability or [1.0] * len(grades))
    of, floor = _MEASURES[measure], UNREADABLE * (2 if measure == "reciprocal_rank" else 1)
    known: dict[tuple[str, str, int], float] = {}
    values: list[float | None] = []
    for grade, query, document in zip(grades, query_id, doc_id, strict=True):
        documents = queries[query]
        if grade is None:
            values.append(floor)
        elif len({item.relevance for item in documents.values()}) < 2:
            values.append(None)
        else:
            key = (query, document, grade)
            if key not in known:
                known[key] = of(grade, documents, document)
            values.append(known[key])
    return values


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


def _pairwise(grade: int, documents: dict[str, Document], own: str) -> float:
    relevance = documents[own].relevance
    wins = []
    for name, other in documents.items():
        if name != own and other.relevance != relevance:
            above, level, below = _chances(other.grades, grade)
            wins.append((below if relevance > other.relevance else above) + level / 2)
    return sum(wins) / len(wins) if wins else 0.5


def _reciprocal_rank(grade: int, documents: dict[str, Document], own: str) -> float:
    others = [item for name, item in documents.items() if name != own]
    share = (documents[own].relevance - sum(item.relevance for item in others) / len(others)) / 2
    return share * _expected([_chances(item.grades, grade) for item in others], lambda rank: 1 / rank)


def _ndcg(grade: int, documents: dict[str, Document], own: str) -> float:
    fixed = {**documents, own: Document(documents[own].relevance, {grade: 1.0})}
    total = 0.0
    for name, item in fixed.items():
        others = [other for place, other in fixed.items() if place != name]
        for given, likely in item.grades.items() if item.relevance > 0 else ():
            chances = [_UNKNOWN if given is None else _chances(other.grades, given) for other in others]
            total += item.relevance * likely * _expected(chances, _discount)
    best = sorted((item.relevance for item in fixed.values()), reverse=True)
    return total / sum(gain * _discount(rank) for rank, gain in enumerate(best, start=1))


def _discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)


def _chances(others: dict[int | None, float], grade: int) -> Chances:
    """How likely a document with these grades stands above, level with and below this grade."""
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
    # How likely so many stand above and so many level with it.
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
