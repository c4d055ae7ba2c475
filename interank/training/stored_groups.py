"""Groups of token ids in memory-mapped files, which every process of a training writes a share of and all read."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import numpy

from interank import distributed

Group = TypeVar("Group")
Item = TypeVar("Item")

Member = tuple[Sequence[int], tuple[Any, ...]]
"""A member of a group: its token ids, and the values of its layout's fields."""

_IDS = numpy.dtype("<i4")
# In the work folder; the dot marks what each attempt writes anew.
_FOLDER = ".rows"


@dataclass(frozen=True, slots=True)
class Layout(Generic[Group]):
    """How groups of one kind become members and back."""

    fields: Sequence[tuple[Any, ...]]
    """The numpy fields that a member has beside its ids."""
    members: Callable[[Group], Iterable[Member]]
    group: Callable[[Iterable[Member]], Group]

    @property
    def record(self) -> numpy.dtype[Any]:
        """A member's record: the number of its ids, its fields, and whether it is the last of its group."""
        return numpy.dtype([("ids", "<i4"), *self.fields, ("last", "?")])


def store(layout: Layout[Group], groups: Iterable[Group], folder: Path, part: int) -> None:
    """Write groups one by one to the files of a part in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    ids_file, records_file = _files(folder, part)
    form = layout.record
    with ids_file.open("wb") as ids, records_file.open("wb") as records:
        for group in groups:
            members = list(layout.members(group))
            for place, (own, values) in enumerate(members, start=1):
                ids.write(numpy.array(own, _IDS).tobytes())
                records.write(numpy.array((len(own), *values, place == len(members)), form).tobytes())


def stored_together(
    layout: Layout[Group],
    items: Iterable[Item],
    number: int,
    groups_of: Callable[[Iterator[Item]], Iterable[Group]],
    work: Path,
) -> StoredGroups[Group]:
    """The groups of all items in order; each process makes and stores those of its share of the items.

    Args:
        layout: The groups' layout.
        items: The same items in every process.
        number: The number of items.
        groups_of: Makes the groups of consecutive items.
        work: The work folder of the training.
    """
    folder = work / _FOLDER

    def store_share() -> None:
        own = islice(items, *distributed.share(number))
        store(layout, groups_of(own), folder, distributed.rank())

    return StoredGroups(layout, folder, len(distributed.each_of(store_share)))


def _files(folder: Path, part: int) -> tuple[Path, Path]:
    return folder / f"{part:05d}.ids", folder / f"{part:05d}.rows"


class StoredGroups(Sequence[Group]):
    """Groups in memory-mapped files; each access makes a group anew."""

    def __init__(self, layout: Layout[Group], folder: Path, parts: int) -> None:
        """Map the first `parts` parts of a folder, in order."""
        found = (_Part(layout, *_files(folder, number)) for number in range(parts))
        self._parts = [part for part in found if len(part)]
        self._ends = list(accumulate(map(len, self._parts)))

    def counted(self, field: str) -> Counter[Any]:
        """How many members have each value of a field."""
        counts: Counter[Any] = Counter()
        for part in self._parts:
            values, numbers = numpy.unique(part.records[field], return_counts=True)
            counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
        return counts

    @property
    def members(self) -> int:
        """The number of members of all groups."""
        return sum(len(part.records) for part in self._parts)

    @property
    def tokens(self) -> int:
        """The number of token ids of all members."""
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


class _Part(Generic[Group]):
    """The files that one call of `store` wrote."""

    def __init__(self, layout: Layout[Group], ids: Path, records: Path) -> None:
        self._group, form = layout.group, layout.record
        # An empty file cannot be mapped.
        self.ids: Any = numpy.memmap(ids, _IDS, "r") if ids.stat().st_size else numpy.empty(0, _IDS)
        self.records: Any = numpy.memmap(records, form, "r") if records.stat().st_size else numpy.empty(0, form)
        # The end of each group in records, and of each record in ids.
        self._groups = numpy.flatnonzero(self.records["last"]) + 1
        self._ends = numpy.cumsum(self.records["ids"], dtype=numpy.int64)

    def __len__(self) -> int:
        return len(self._groups)

    def group(self, number: int) -> Group:
        """A group, made of its members."""
        first = self._groups[number - 1] if number else 0
        return self._group(self._member(place) for place in range(first, self._groups[number]))

    def _member(self, place: int) -> Member:
        size, *values, _ = self.records[place].tolist()
        end = int(self._ends[place])
        return self.ids[end - size : end].tolist(), tuple(values)
