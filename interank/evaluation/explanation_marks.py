"""Marks of explanations in an evaluation: document by document, and their mean with an interval over queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy

from interank import judging
from interank.evaluation.candidates import Task
from interank.evaluation.rankings import Rankings
from interank.ir.significance import Sample
from interank.rewards import WeightedReward
from interank.types import Judgment, Relevance

MARKS = "marks"
"""Key of a query's row: by document id, each reward's mark of the explanation."""
COLUMNS = ("completions", "query_id", "doc_id", "query", "document", "probabilities", "order")
"""The columns that rewards get with each explanation; there is no judged grade among them."""


def mark(tasks: Sequence[Task], rankings: Rankings, rewards: Sequence[WeightedReward], order: judging.Order) -> None:
    """Add the rewards' marks of explanations to each query's row; ungraded and listwise explanations get none.

    All explanations of a system are marked in one call, since a reward may compare an explanation with another's. Of
    rewards of one name each further one has a number.
    """
    rows: list[tuple[dict[str, Any], str]] = []
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for task in tasks:
        for query in task.queries:
            row = rankings.get((task.name, query.query_id))
            if row is None or "listwise" in row:
                continue
            for item in row["ranking"]:
                if not item["explanation"] or item["relevance"] is None:
                    continue
                document = (task.corpus or {})[item["doc_id"]]
                judgment = Judgment(item["explanation"], Relevance(item["relevance"]))
                values = (
                    judging.answer(judgment, order),
                    f"{task.name} {query.query_id}",
                    item["doc_id"],
                    query.text,
                    document.full_text,
                    item["probabilities"],
                    order,
                )
                for name, value in zip(COLUMNS, values, strict=True):
                    columns[name].append(value)
                rows.append((row, item["doc_id"]))
    names = Counter[str]()
    for reward in rewards if rows else ():
        names[reward.__name__] += 1
        number = names[reward.__name__]
        name = f"{reward.__name__} {number}" if number > 1 else reward.__name__
        for (row, doc_id), value in zip(rows, reward(**columns), strict=True):
            row.setdefault(MARKS, {}).setdefault(doc_id, {})[name] = value


def marks_of(
    tasks: Sequence[Task], rankings: Mapping[tuple[str, str], Mapping[str, Any]], *, seed: int
) -> dict[str, dict[str, float]]:
    """By reward, the mean over queries of their mean mark, its 95% interval, and the number of marked explanations."""
    by_task = [
        [
            list(row[MARKS].values())
            for query in task.queries
            if (row := rankings.get((task.name, query.query_id))) and MARKS in row
        ]
        for task in tasks
    ]
    names = dict.fromkeys(name for own in by_task for marks in own for of_one in marks for name in of_one)
    figures = {}
    for name in names:
        values = [[[mark[name] for mark in marks if mark.get(name) is not None] for marks in own] for own in by_task]
        means = [[fmean(of_query) for of_query in own if of_query] for own in values]
        sizes = [len(own) for own in means if own]
        if sizes:
            (interval,) = Sample(sizes, seed=seed).intervals(numpy.array([[v] for own in means for v in own]))
            count = sum(len(of_query) for own in values for of_query in own)
            figures[name] = {"mean": interval.mean, "low": interval.low, "high": interval.high, "count": count}
    return figures


def described(marks: Mapping[str, Any]) -> str:
    """A document's marks in words."""
    return ", ".join(f"{name} {'not marked' if value is None else f'{value:+.2f}'}" for name, value in marks.items())
