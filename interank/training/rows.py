"""Examples as rows of token ids with their training targets, grouped by question so that they can share its prefix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from interank.training.stored_groups import Layout, Member, StoredGroups

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt and its answer in token ids; the loss is on the answer from `trained_from` on.

    `grade_at` is the grade's position in the answer, `grades` the teacher's probabilities; None for rows without a
    grade. `listed` rows, one a document, are compared with each other within their group. `weight` multiplies the
    row's loss.
    """

    task: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    trained_from: int = 0
    grade_at: int | None = None
    grades: tuple[float, float, float] | None = None
    listed: bool = False
    weight: float = 1.0

    @property
    def input_ids(self) -> list[int]:
        """The whole row."""
        return [*self.prompt, *self.answer]

    @property
    def labels(self) -> list[int]:
        """The labels of the whole row, -100 where there is no loss."""
        return [IGNORED] * (len(self.prompt) + self.trained_from) + list(self.answer[self.trained_from :])


Group = tuple[Row, ...]
"""The rows of one question that are computed together."""


def _members(group: Group) -> Iterable[Member]:
    for row in group:
        # -1 and NaN mean None.
        graded = -1 if row.grade_at is None else row.grade_at
        grades = (numpy.nan,) * 3 if row.grades is None else row.grades
        values = row.task.encode(), len(row.prompt), row.trained_from, graded, grades, row.listed, row.weight
        yield row.input_ids, values


def _group(members: Iterable[Member]) -> Group:
    return tuple(_row(*member) for member in members)


def _row(ids: Sequence[int], values: tuple[Any, ...]) -> Row:
    task, prompt, trained_from, grade_at, grades, listed, weight = values
    probable = None if numpy.isnan(grades[0]) else (grades[0], grades[1], grades[2])
    graded = None if grade_at < 0 else grade_at
    own = tuple(ids[:prompt]), tuple(ids[prompt:])
    return Row(task.decode(), *own, trained_from, graded, probable, listed=listed, weight=weight)


ROWS: Layout[Group] = Layout(
    (
        *(("task", "S16"), ("prompt", "<i4"), ("trained_from", "<i4"), ("grade_at", "<i4")),
        *(("grades", "<f8", (3,)), ("listed", "?"), ("weight", "<f8")),
    ),
    _members,
    _group,
)
"""The layout of rows in files."""


def tasks_of(groups: StoredGroups[Group]) -> Counter[str]:
    """The number of rows of each task."""
    return Counter({name.decode(): number for name, number in groups.counted("task").items()})
