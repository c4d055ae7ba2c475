"""attack: how many places irrelevant documents gain by attacks on the judge, with and without a guard."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy

from interank.errors import InputError
from interank.evaluation.candidates import Evaluated, Task, load_evaluated
from interank.ir.significance import Interval, Sample
from interank.launched import refuse_several_processes
from interank.modes import Guard, Mode
from interank.progress import track
from interank.reranking.opening import open_reranker
from interank.settings.precision import Precision
from interank.tasks.asked import RankerSettings
from interank.tasks.judge.attacks import Part, Template, attack_templates, planted
from interank.tasks.ranks import OneModel
from interank.types import Document, Query

log = logging.getLogger(__name__)

ALL = "all attacks"


@dataclass(frozen=True, slots=True)
class Planned:
    """Which documents are attacked, and how the model is asked."""

    benchmark: Path
    task: str | None = None
    split: str | None = None
    queries: int = 20
    depth: int = 10
    """Candidates of each query, of which one irrelevant one is attacked at a time."""
    modes: tuple[Mode, ...] = ("score",)
    guards: tuple[Guard, ...] = ("none", "fence")
    parts: tuple[Part, ...] = ("practice", "held_out", "control")
    max_reasoning_tokens: int = 32
    precision: Precision = "exact"
    base: str | None = None
    """What an adapter stands on, where that is said."""
    seed: int = 42


@dataclass(frozen=True, slots=True)
class Victim:
    """A query's candidates, and the place of the irrelevant one that is attacked."""

    query: Query
    documents: Sequence[Document]
    place: int


@dataclass(frozen=True, slots=True)
class Tried:
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
        """Places gained; negative where it fell."""
        return self.before - self.after


@dataclass(frozen=True, slots=True)
class Gain:
    """What a family of attacks gains on average."""

    mode: Mode
    guard: Guard
    family: str
    templates: int
    places: Interval
    """With a 95% bootstrap interval over the queries."""
    above: float
    """The places that there were to gain, on average."""
    raised: float
    """The share of attacks after which the document stood higher."""


def attack(model: str, planned: Planned) -> list[Tried]:
    """Plant every template in one irrelevant candidate of each query, one at a time, and rank it anew.

    Raises:
        InputError: The benchmark has several tasks, or no query with an irrelevant candidate beside another one.
    """
    refuse_several_processes()
    victims = _victims(_task(planned), planned)
    templates = [template for template in attack_templates() if template.part in planned.parts]
    found: list[Tried] = []
    for mode in planned.modes:
        asked = RankerSettings(
            model, mode, planned.max_reasoning_tokens, precision=planned.precision, base=planned.base, stored_fit=False
        )
        plain = open_reranker(asked)
        for guard in planned.guards:
            reranker = plain.guarded(guard)
            for victim in track(victims, what=f"{mode}, guard {guard}", unit="queries", total=len(victims)):
                found += _tried(reranker, mode, victim, templates)
    return found


def gains(tried: Sequence[Tried], *, seed: int) -> list[Gain]:
    """The mean gain of each family, and of all attacks together; controls count as a family of their own."""
    ways = dict.fromkeys((item.mode, item.guard) for item in tried)
    found = []
    for mode, guard in ways:
        mine = [item for item in tried if (item.mode, item.guard) == (mode, guard)]
        families: dict[str, list[Tried]] = {}
        for item in mine:
            families.setdefault(item.family, []).append(item)
        families[ALL] = [item for item in mine if item.part != "control"]
        for part in ("practice", "held_out"):
            families[f"{ALL}: {part}"] = [item for item in mine if item.part == part]
        found += [_gain(family, items, seed) for family, items in families.items() if items]
    return found


def as_row(planned: Planned, tried: Sequence[Tried], model: str) -> dict[str, Any]:
    """What was done and what came of it, as plain data."""
    return {
        "model": model,
        "planned": {**asdict(planned), "benchmark": str(planned.benchmark)},
        "gains": [asdict(gain) for gain in gains(tried, seed=planned.seed)],
        "tried": [asdict(item) for item in tried],
    }


def _gain(family: str, items: Sequence[Tried], seed: int) -> Gain:
    by_query: dict[str, list[Tried]] = {}
    for item in items:
        by_query.setdefault(item.query_id, []).append(item)
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


def _task(planned: Planned) -> Task:
    tasks = load_evaluated(
        Evaluated(
            planned.benchmark,
            (planned.task,) if planned.task else (),
            planned.split,
            depth=planned.depth,
        ),
        reranking=True,
    )
    if len(tasks) > 1:
        names = ", ".join(task.name for task in tasks)
        raise InputError(f"{planned.benchmark} holds the tasks {names}; name one with --task")
    return tasks[0]


def _victims(task: Task, planned: Planned) -> list[Victim]:
    """A seeded sample of the queries, each with one of its irrelevant candidates."""
    rng = random.Random(planned.seed)
    relevant: Mapping[str, set[str]] = {query.query_id: set() for query in task.queries}
    for qrel in task.qrels:
        if qrel.relevance > 0 and qrel.query_id in relevant:
            relevant[qrel.query_id].add(qrel.doc_id)
    victims = []
    for query in rng.sample(task.queries, len(task.queries)):
        documents = task.documents(query.query_id)
        places = [n for n, document in enumerate(documents) if document.doc_id not in relevant[query.query_id]]
        if places and len(documents) > 1:
            victims.append(Victim(query, documents, rng.choice(places)))
    if not victims:
        raise InputError(
            f"{planned.benchmark}: found no query with an irrelevant candidate beside another; take a larger depth"
        )
    return victims[: planned.queries]


def _tried(reranker: OneModel, mode: Mode, victim: Victim, templates: Sequence[Template]) -> Iterator[Tried]:
    clean = [item.score for item in reranker.graded(victim.query, victim.documents)]
    attacked = [planted(template, victim.query, victim.documents[victim.place]) for template in templates]
    before = _rank(clean, victim.place)
    for template, item in zip(templates, reranker.graded(victim.query, attacked), strict=True):
        after = _rank([*clean[: victim.place], item.score, *clean[victim.place + 1 :]], victim.place)
        yield Tried(
            mode,
            reranker.guard,
            victim.query.query_id,
            template.name,
            template.family,
            template.part,
            before,
            after,
        )


def _rank(scores: Sequence[float], place: int) -> int:
    """The rank of the document at `place`, counted from 1; equal scores keep the order given."""
    better = sum(score > scores[place] for score in scores)
    return 1 + better + sum(score == scores[place] for score in scores[:place])
