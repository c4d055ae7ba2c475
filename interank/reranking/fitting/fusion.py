"""Fusion of a reranker's scores with the first stage's, query by query; the weight is fitted on judged queries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Literal

from interank.errors import InputError
from interank.types import Run, ScoredDoc
from interank.wording import counted

FusionMethod = Literal["zscore", "minmax", "rrf"]

METHODS: tuple[FusionMethod, ...] = ("zscore", "minmax", "rrf")
# The damping constant of reciprocal rank fusion (Cormack et al., SIGIR 2009).
RRF_CONSTANT = 60
_STEPS = 20
# Means of the same values in another order differ in their last digits.
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class Fusion:
    """The normalisation of scores, and the reranker's weight; the first stage has 1 - weight."""

    method: FusionMethod
    weight: float

    @property
    def needs_scores(self) -> bool:
        """True if fusion needs the first stage's scores; reciprocal ranks need only its order."""
        return self.method != "rrf"

    def fused(self, ours: Sequence[float], first: Sequence[float] | None) -> list[float]:
        """The fused scores of a query's documents, which are in first-stage order.

        Raises:
            InputError: The first stage's scores are missing, differ in number from the documents, or are not finite.
        """
        if first is None and self.needs_scores:
            raise InputError(
                f"fusion by {self.method} needs the first stage's scores, and none were given; give one for each "
                "document, or fit with method rrf, which needs only their order"
            )
        if first is not None and len(first) != len(ours):
            raise InputError(
                f"there are {counted(len(first), 'first-stage score')} for {counted(len(ours), 'document')}; give "
                "one for each"
            )
        if first is not None and not all(map(math.isfinite, first)):
            raise InputError("a first-stage score is not a finite number; correct the first stage's run")
        return mixed(comparable(self.method, ours), _first(self.method, first, len(ours)), self.weight)


@dataclass(frozen=True, slots=True)
class Candidates:
    """A query's documents in first-stage order, with both scores."""

    query_id: str
    doc_ids: tuple[str, ...]
    ours: tuple[float, ...]
    first: tuple[float, ...]


def comparable(method: FusionMethod, scores: Sequence[float]) -> list[float]:
    """One query's scores, normalised so that those of two systems compare.

    Equal scores all become 0, except that reciprocal ranks break ties by the order given.
    """
    if not scores:
        return []
    if method == "rrf":
        best_first = sorted(range(len(scores)), key=lambda place: -scores[place])
        ranks = {place: rank for rank, place in enumerate(best_first, start=1)}
        return [1 / (RRF_CONSTANT + ranks[place]) for place in range(len(scores))]
    if method == "minmax":
        low, span = min(scores), max(scores) - min(scores)
        return [(score - low) / span if span else 0.0 for score in scores]
    middle, spread = fmean(scores), pstdev(scores)
    return [(score - middle) / spread if spread else 0.0 for score in scores]


def mixed(ours: Sequence[float], first: Sequence[float], weight: float) -> list[float]:
    """The weighted sum of two systems' comparable scores."""
    return [weight * one + (1 - weight) * other for one, other in zip(ours, first, strict=True)]


def fused_run(queries: Sequence[Candidates], fusion: Fusion, tag: str = "fused") -> Run:
    """The run of the queries' fused scores; ties keep first-stage order."""
    return _run(queries, [fusion.fused(query.ours, query.first) for query in queries], tag)


def fit_fusion(
    queries: Sequence[Candidates], measured: Callable[[Run], float], methods: Sequence[FusionMethod] = METHODS
) -> tuple[Fusion, Mapping[str, list[float]]]:
    """The method and weight with the highest value of `measured`; on a tie the weight nearest to 0.5.

    Returns:
        The fusion; and by method the values for all weights from 0 to 1 in steps of 0.05.
    """
    tried: dict[str, list[float]] = {}
    best: tuple[float, float, Fusion] | None = None
    for method in methods:
        parts = [(comparable(method, q.ours), _first(method, q.first, len(q.ours))) for q in queries]
        tried[method] = []
        for step in range(_STEPS + 1):
            weight = step / _STEPS
            value = measured(_run(queries, [mixed(ours, first, weight) for ours, first in parts], method))
            tried[method].append(value)
            evenness = -abs(weight - 0.5)
            if best is None or value > best[0] + _EQUAL or (value > best[0] - _EQUAL and evenness > best[1]):
                best = (value, evenness, Fusion(method, weight))
    if best is None:
        raise ValueError("no method to try")
    return best[2], tried


def _first(method: FusionMethod, scores: Sequence[float] | None, count: int) -> list[float]:
    """The first stage's normalised scores; reciprocal ranks follow the documents' order."""
    values = [-float(place) for place in range(count)] if method == "rrf" or scores is None else scores
    return comparable(method, values)


def _run(queries: Sequence[Candidates], scores: Sequence[Sequence[float]], tag: str) -> Run:
    return Run.from_scores(
        (
            ScoredDoc(query.query_id, doc_id, score)
            for query, own in zip(queries, scores, strict=True)
            for doc_id, score in zip(query.doc_ids, own, strict=True)
        ),
        tag=tag,
    )
