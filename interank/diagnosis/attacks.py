"""Attacks on a judge: the documents they are tried on, the ranks they gain, and each family's mean gain."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy

from interank.ir.measures import judged_by_query
from interank.ir.significance import Interval, Sample
from interank.modes import Guard, Mode
from interank.tasks.judge.attacks import Part, Template, planted
from interank.tasks.ranks import OneModel
from interank.types import Document, Qrel, Query, grouped

ALL = "all attacks"


@dataclass(frozen=True, slots=True)
class Victim:
    """A query's candidates, and the index of the irrelevant one that is attacked."""

    query: Query
    documents: Sequence[Document]
    place: int


@dataclass(frozen=True, slots=True)
class AttackOutcome:
    """One attack on one document: its rank before and after, the first being 1."""

    mode: Mode
    guard: Guard
    query_id: str
    template: str
    family: str
    part: Part
    before: int
    after: int

    @property
    def gain(self) -> int:
        """The ranks gained; negative where the document fell."""
        return self.before - self.after


@dataclass(frozen=True, slots=True)
class Gain:
    """The average gain of a family of attacks."""

    mode: Mode
    guard: Guard
    family: str
    templates: int
    places: Interval
    """The mean number of ranks gained, with a 95% bootstrap interval over the queries."""
    above: float
    """The mean number of ranks that could be gained."""
    raised: float
    """The share of attacks that raised their document."""


def drawn_victims(
    queries: Sequence[Query],
    qrels: Sequence[Qrel],
    documents: Callable[[str], Sequence[Document]],
    seed: int,
) -> list[Victim]:
    """The queries in a seeded order, each with one of its irrelevant candidates; queries without one are left out.

    Args:
        queries: The queries to draw from; some may have no candidates.
        qrels: Judgments; candidates without a positive one count as irrelevant.
        documents: Returns the candidates of a query id, best first.
        seed: Seeds the order of queries and the choice of documents.
    """
    rng = random.Random(seed)
    relevant = judged_by_query(qrel for qrel in qrels if qrel.relevance > 0)
    victims = []
    for query in rng.sample(queries, len(queries)):
        candidates = documents(query.query_id)
        positive = relevant.get(query.query_id, {})
        places = [place for place, document in enumerate(candidates) if document.doc_id not in positive]
        if places and len(candidates) > 1:
            victims.append(Victim(query, candidates, rng.choice(places)))
    return victims


def tried_on(reranker: OneModel, mode: Mode, victim: Victim, templates: Sequence[Template]) -> Iterator[AttackOutcome]:
    """Plant each template in the victim; the victim's ranks without and with it."""
    clean = [item.score for item in reranker.graded(victim.query, victim.documents)]
    attacked = [planted(template, victim.query, victim.documents[victim.place]) for template in templates]
    before = rank(clean, victim.place)
    for template, item in zip(templates, reranker.graded(victim.query, attacked), strict=True):
        after = rank([*clean[: victim.place], item.score, *clean[victim.place + 1 :]], victim.place)
        yield AttackOutcome(
            mode,
            reranker.guard,
            victim.query.query_id,
            template.name,
            template.family,
            template.part,
            before,
            after,
        )


def rank(scores: Sequence[float], place: int) -> int:
    """The rank of the document at index `place`, counted from 1; equal scores keep the order given."""
    better = sum(score > scores[place] for score in scores)
    return 1 + better + sum(score == scores[place] for score in scores[:place])


def gains(tried: Sequence[AttackOutcome], *, seed: int) -> list[Gain]:
    """The mean gain of each family, and of all attacks together; controls count as a family of their own."""
    averages = []
    for mode, guard in dict.fromkeys((item.mode, item.guard) for item in tried):
        mine = [item for item in tried if (item.mode, item.guard) == (mode, guard)]
        families = grouped(mine, lambda item: item.family)
        families[ALL] = [item for item in mine if item.part != "control"]
        for part in ("practice", "held_out"):
            families[f"{ALL}: {part}"] = [item for item in mine if item.part == part]
        averages += [_gain(family, items, seed) for family, items in families.items() if items]
    return averages


def _gain(family: str, items: Sequence[AttackOutcome], seed: int) -> Gain:
    by_query = grouped(items, lambda item: item.query_id)
    means = numpy.array([[fmean(item.gain for item in mine)] for mine in by_query.values()])
    [places] = Sample([len(by_query)], seed=seed).intervals(means)
    return Gain(
        items[0].mode,
        items[0].guard,
        family,
        len({item.template for item in items}),
        places,
        fmean(item.before - 1 for item in items),
        fmean(item.gain > 0 for item in items),
    )
