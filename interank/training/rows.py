"""Examples as rows of token ids with their training targets, grouped by question so that they can share its prefix."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import numpy

IGNORED = -100
_IDS = numpy.dtype("<i4")
# A row's record; -1 and NaN mean None, and `last` marks a group's last row.
_RECORD = numpy.dtype(
    [
        *(("task", "S16"), ("prompt", "<i4"), ("answer", "<i4"), ("trained_from", "<i4"), ("grade_at", "<i4")),
        *(("grades", "<f8", (3,)), ("listed", "?"), ("weight", "<f8"), ("last", "?")),
    ]
)


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


def store(groups: Iterable[Group], folder: Path, part: int) -> None:
    """Write groups one by one to the files of a part in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    ids_file, rows_file = _files(folder, part)
    with ids_file.open("wb") as ids, rows_file.open("wb") as records:
        for group in groups:
            for place, row in enumerate(group, start=1):
                ids.write(numpy.array(row.input_ids, _IDS).tobytes())
                graded = -1 if row.grade_at is None else row.grade_at
                grades = (numpy.nan,) * 3 if row.grades is None else row.grades
                where = len(row.prompt), len(row.answer), row.trained_from, graded
                record = row.task.encode(), *where, grades, row.listed, row.weight, place == len(group)
                records.write(numpy.array(record, _RECORD).tobytes())


def _files(folder: Path, part: int) -> tuple[Path, Path]:
    return folder / f"{part:05d}.ids", folder / f"{part:05d}.rows"


class StoredGroups(Sequence[Group]):
    """Groups in memory-mapped files; each access makes the rows of a group anew."""

    def __init__(self, folder: Path, parts: int) -> None:
        """Map the first `parts` parts of a folder, in order."""
        self._parts = [part for number in range(parts) if len(part := _Part(*_files(folder, number)))]
        self._ends = list(accumulate(map(len, self._parts)))

    @property
    def tasks(self) -> Counter[str]:
        """The number of rows of each task."""
        counts: Counter[str] = Counter()
        for part in self._parts:
            names, numbers = numpy.unique(part.records["task"], return_counts=True)
            counts.update(dict(zip((name.decode() for name in names), numbers.tolist(), strict=True)))
        return counts

    @property
    def tokens(self) -> int:
        """The number of tokens of all rows."""
        return sum(part.ids.size for part in self._parts)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, place: int) -> Group: ...

    @overload
    def __getitem__(self, place: slice) -> list[Group]: ...

    def __getitem__(self, place: int | slice) -> Group | list[Group]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        part = bisect_right(self._ends, number)
        return self._parts[part].group(number - (self._ends[part - 1] if part else 0))


class _Part:
    """The files that one call of `store` wrote."""

    def __init__(self, ids: Path, records: Path) -> None:
        # An empty file cannot be mapped.
        self.ids: Any = numpy.memmap(ids, _IDS, "r") if ids.stat().st_size else numpy.empty(0, _IDS)
        self.records: Any = numpy.memmap(records, _RECORD, "r") if records.stat().st_size else numpy.empty(0, _RECORD)
        # The end of each group in records, and of each record in ids.
        self._rows = numpy.flatnonzero(self.records["last"]) + 1
        self._ends = numpy.cumsum(self.records["prompt"].astype(numpy.int64) + self.records["answer"])

    def __len__(self) -> int:
        return len(self._rows)

    def group(self, number: int) -> Group:
        """A group's rows."""
        first = self._rows[number - 1] if number else 0
        return tuple(self._row(place) for place in range(first, self._rows[number]))

    def _row(self, place: int) -> Row:
        task, prompt, answer, trained_from, grade_at, grades, listed, weight, _ = self.records[place].tolist()
        end = int(self._ends[place])
        ids = self.ids[end - prompt - answer : end].tolist()
        probable = None if numpy.isnan(grades[0]) else (grades[0], grades[1], grades[2])
        graded = None if grade_at < 0 else grade_at
        own = tuple(ids[:prompt]), tuple(ids[prompt:])
        return Row(task.decode(), *own, trained_from, graded, probable, listed=listed, weight=weight)
