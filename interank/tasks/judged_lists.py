"""Judged documents as lists: drawn, shuffled, cut into windows and sampled by seed; and the measures of orders."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from interank.ir.measures import score_run
from interank.judged_questions import JudgedQuestions, Reiterable, sample
from interank.judgments import JudgedList
from interank.types import Example, Qrel, Run, grouped


def judged_lists(questions: Iterable[Sequence[Example]], *, documents: int, seed: int) -> Iterator[JudgedList]:
    """A list of each query that has documents of two grades: at most `documents` of them, in a seeded order.

    The documents are spread over the grades as evenly as the query allows. The order does not depend on the other
    queries, so that a query keeps its list when another is added.
    """
    for items in questions:
        chosen = _spread(items, documents, random.Random(f"{seed} {items[0].query.query_id}"))
        judged = JudgedList.of(chosen)
        if len(set(judged.grades)) > 1:
            yield judged


def with_shuffled_grades(lists: Sequence[JudgedList], seed: int) -> list[JudgedList]:
    """The lists with each one's grades shuffled among its documents: a control, from which only chance is learned."""
    rng = random.Random(seed)
    return [replace(item, grades=tuple(rng.sample(item.grades, len(item.grades)))) for item in lists]


def _spread(items: Sequence[Example], number: int, rng: random.Random) -> list[Example]:
    """`number` of a query's examples, drawn from its grades in turn, in random order."""
    by_grade = grouped(rng.sample(items, len(items)), lambda item: int(item.judgment.relevance))
    turns = zip_longest(*(by_grade[grade] for grade in sorted(by_grade, reverse=True)))
    drawn = [item for turn in turns for item in turn if item is not None][:number]
    return rng.sample(drawn, len(drawn))


def in_orders(lists: Sequence[JudgedList], shuffles: int, seed: int) -> list[JudgedList]:
    """Each list in `shuffles` orders of its documents, the lists in random order too."""
    shown = []
    for time in range(shuffles):
        rng = random.Random(f"{seed} {time}")
        for item in rng.sample(lists, len(lists)):
            places = rng.sample(range(len(item.documents)), len(item.documents))
            documents = tuple(item.documents[place] for place in places)
            shown.append(replace(item, documents=documents, grades=tuple(item.grades[place] for place in places)))
    return shown


def in_windows(items: Sequence[Example], *, window: int, times: int, seed: int) -> list[JudgedList]:
    """A query's documents, shuffled `times` times and cut into windows of at most `window`."""
    rng = random.Random(f"{seed} {items[0].query.query_id}")
    orders = [rng.sample(items, len(items)) for _ in range(times)]
    begins = range(0, len(items), window)
    return [JudgedList.of(order[begin : begin + window]) for order in orders for begin in begins]


def validation_lists(judgments: Path, *, documents: int, questions: int, seed: int) -> list[JudgedList]:
    """The lists of at most `questions` validation questions, a seeded sample, with their judged grades."""
    if not questions:
        return []
    judged = JudgedQuestions(judgments, "validation")
    return sample(Reiterable(lambda: judged_lists(judged, documents=documents, seed=seed)), questions, seed)


def order_values(orders: Sequence[Sequence[int]], grades: Sequence[Sequence[int]], measure: str) -> list[float]:
    """The measure of each order, as trec_eval computes it.

    Args:
        orders: Places of a list's documents, counted from 0, best first.
        grades: The grades of each list's documents, as they stand in it.
        measure: One of trec_eval's, as `nDCG@10`.
    """
    if not orders:
        return []
    qrels = [
        Qrel(str(number), str(place), grade) for number, row in enumerate(grades) for place, grade in enumerate(row)
    ]
    ranked = {str(number): [str(place) for place in order] for number, order in enumerate(orders)}
    values = score_run(qrels, Run.from_orders(ranked, tag="orders"), (measure,)).per_query[measure]
    return [values[str(number)] for number in range(len(orders))]
