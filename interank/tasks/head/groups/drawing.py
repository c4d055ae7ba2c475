"""Groups drawn from a query's documents by a seed: one of the most relevant documents, and less relevant ones."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from interank.judgments import JudgedList


def sampled(lists: Iterable[JudgedList], number: int, seed: int) -> list[JudgedList]:
    """A sample of `number` lists in input order, drawn without holding more in memory."""
    rng = random.Random(seed)
    chosen: dict[int, JudgedList] = {}
    places: list[int] = []
    # Vitter's algorithm R.
    for place, item in enumerate(lists):
        slot = len(places) if place < number else rng.randrange(place + 1)
        if slot >= number:
            continue
        if slot < len(places):
            del chosen[places[slot]]
            places[slot] = place
        else:
            places.append(place)
        chosen[place] = item
    return [chosen[place] for place in sorted(chosen)]


def is_held_out(judged: JudgedList, share: float, seed: int) -> bool:
    """True where a query is held out for validation, which does not depend on the other queries."""
    return random.Random(f"{seed} held out {judged.query.query_id}").random() < share


def drawn(judged: JudgedList, documents: int, number: int, seed: int) -> list[JudgedList]:
    """`number` groups of a query with at most `documents` documents each; none where all have the same grade.

    A group's first document has the query's highest grade; the others have lower grades and occur once each, so that a
    query with few of them makes smaller groups. Later groups take other positives and negatives, as far as there are
    any.
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
    """At most `documents` of a query's documents, the most relevant ones first chosen, in random order."""
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
        tuple(judged.scores[place] for place in places) if judged.scores else (),
    )
