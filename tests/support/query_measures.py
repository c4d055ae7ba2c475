"""What the reward `ranking` is the gradient of, said anew: a query's measure of one order, and its mean over ties."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from statistics import fmean

from interank.ir.measures import score_run
from interank.types import Qrel, Run


def over_all_orders(grades: Sequence[int], value: Callable[[Sequence[int]], float]) -> float:
    """The mean of a ranking's value over every order that sorts by grade."""
    return fmean(
        value(order)
        for order in itertools.permutations(range(len(grades)))
        if all(grades[a] >= grades[b] for a, b in itertools.pairwise(order))
    )


def _ndcg(relevance: Sequence[int], order: Sequence[int]) -> float:
    """By trec_eval."""
    qrels = [Qrel("q", f"d{n}", judged) for n, judged in enumerate(relevance)]
    return score_run(qrels, Run.from_orders({"q": [f"d{n}" for n in order]}, tag="t")).mean["nDCG@10"]


def _pairs_won(relevance: Sequence[int], order: Sequence[int]) -> float:
    """The mean over the documents of the share of pairs, judged otherwise, that stand in the right order."""
    place = {document: rank for rank, document in enumerate(order)}
    shares = []
    for one, judged in enumerate(relevance):
        others = [n for n in range(len(relevance)) if relevance[n] != judged]
        shares.append(fmean((place[one] < place[n]) == (judged > relevance[n]) for n in others))
    return fmean(shares)


def _signed_reciprocal_rank(relevance: Sequence[int], order: Sequence[int]) -> float:
    def share(document: int) -> float:
        others = [relevance[n] for n in range(len(relevance)) if n != document]
        return (relevance[document] - fmean(others)) / 2

    return fmean(share(document) / rank for rank, document in enumerate(order, start=1))


MEASURES = {"pairwise": _pairs_won, "reciprocal_rank": _signed_reciprocal_rank, "ndcg": _ndcg}
