"""Groups drawn of a query's documents: one of the most relevant, and less relevant ones, decided by a seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from interank.judgments import JudgedList, by_question
from interank.types import Example


def groups_of(examples: Iterable[Example]) -> list[JudgedList]:
    """All judged documents of each query, queries and documents in their order."""
    return [JudgedList.of(items) for items in by_question(examples)]


def sampled(lists: Iterable[JudgedList], number: int | None, seed: int) -> list[JudgedList]:
    """So many of the lists, in their order, without holding more of them than that; all where the number is None."""
    if number is None:
        return list(lists)
    rng = random.Random(seed)
    kept: dict[int, JudgedList] = {}
    places: list[int] = []
    # Vitter's algorithm R.
    for place, item in enumerate(lists):
        slot = len(places) if place < number else rng.randrange(place + 1)
        if slot >= number:
            continue
        if slot < len(places):
            del kept[places[slot]]
            places[slot] = place
        else:
            places.append(place)
        kept[place] = item
    return [kept[place] for place in sorted(kept)]


def is_held_out(judged: JudgedList, share: float, seed: int) -> bool:
    """Whether a query is tried on and not trained on; this does not depend on the other queries."""
    return random.Random(f"{seed} held out {judged.query.query_id}").random() < share


def drawn(judged: JudgedList, documents: int, number: int, seed: int) -> list[JudgedList]:
    """So many groups of a query, each of at most so many documents; none where all have the same grade.

    A group's first document is one of those with the query's highest grade, the others have lower ones and stand in it
    once each: a query with few of them makes smaller groups. Groups take turns with positives and negatives, so that
    further ones show what the first did not.
    """
    best = max(judged.grades, default=0)
    positives = [place for place, grade in enumerate(judged.grades) if grade == best]
    negatives = [place for place, grade in enumerate(judged.grades) if grade < best]
    if not positives or not negatives:
        return []
    rng = random.Random(f"{seed} {judged.query.query_id}")
    positives, negatives = (rng.sample(places, len(places)) for places in (positives, negatives))
    size = min(documents - 1, len(negatives))
    groups = []
    for turn in range(number):
        others = [negatives[(turn * size + place) % len(negatives)] for place in range(size)]
        groups.append(_chosen(judged, [positives[turn % len(positives)], *others]))
    return groups


def to_try(judged: JudgedList, documents: int, seed: int) -> JudgedList:
    """At most so many of a query's documents, its most relevant ones among them, in an order that tells nothing."""
    rng = random.Random(f"{seed} {judged.query.query_id}")
    best = sorted(range(len(judged.grades)), key=lambda place: -judged.grades[place])[:documents]
    return _chosen(judged, rng.sample(best, len(best)))


def _chosen(judged: JudgedList, places: Sequence[int]) -> JudgedList:
    return JudgedList(
        judged.query,
        tuple(judged.documents[place] for place in places),
        tuple(judged.grades[place] for place in places),
        judged.split,
        tuple(judged.weights[place] for place in places) if judged.weights else (),
    )
