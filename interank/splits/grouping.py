"""The division of questions into train, dev and test: a seeded draw that keeps near-duplicates and threads together."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from interank.errors import InputError
from interank.ir.overlap import (
    BenchmarkIndex,
    BenchmarkQuery,
    BenchmarkTexts,
    Checkable,
    contaminated,
    near_duplicates,
)
from interank.types import Query
from interank.wording import counted, listed

PARTS = ("train", "dev", "test")
# Less than mining's 0.8 for near-duplicates: even similar questions must not be in both training and test.
_ALIKE = 0.5


@dataclass(frozen=True, slots=True)
class Groups:
    """Questions in groups that stay together, the largest first."""

    members: tuple[tuple[str, ...], ...]
    """The question ids of each group."""

    @property
    def largest(self) -> int:
        """The number of questions in the largest group."""
        return len(self.members[0])

    @property
    def joined(self) -> int:
        """The number of questions in groups of several."""
        return sum(len(group) for group in self.members if len(group) > 1)


def group(queries: Sequence[Query], threads: Mapping[str, str], seed: int) -> Groups:
    """Group questions of the same thread, near-duplicates, and questions that decontamination would match.

    Args:
        queries: The questions.
        threads: The thread of each question that has one.
        seed: The seed for the order of groups of the same size.
    """
    owners = {query.query_id: query.query_id for query in queries}

    def owner(name: str) -> str:
        while owners[name] != name:
            owners[name] = owners[owners[name]]
            name = owners[name]
        return name

    for one, other in _linked(queries, threads):
        first, second = sorted((owner(one), owner(other)))
        owners[second] = first
    groups: dict[str, list[str]] = {}
    for query in queries:
        groups.setdefault(owner(query.query_id), []).append(query.query_id)
    order = {name: random.Random(f"{seed}/{name}").random() for name in groups}
    sorted_groups = sorted(groups.items(), key=lambda item: (-len(item[1]), order[item[0]]))
    return Groups(tuple(tuple(members) for _, members in sorted_groups))


def _linked(queries: Sequence[Query], threads: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of questions that must be in the same group."""
    first_of: dict[str, str] = {}
    for query in queries:
        yield query.query_id, first_of.setdefault(threads.get(query.query_id) or query.query_id, query.query_id)
    firsts = near_duplicates([query.text for query in queries], _ALIKE)
    for query, first in zip(queries, firsts, strict=True):
        yield query.query_id, queries[first].query_id
    texts = BenchmarkTexts("", "", tuple(BenchmarkQuery(query.query_id, query.text) for query in queries), None)
    items = (Checkable("", query.query_id, "question", query.text) for query in queries)
    for overlap in contaminated(items, BenchmarkIndex([texts])).removed:
        yield overlap.post_id, overlap.target.item_id


def share_out(groups: Groups, shares: Sequence[float], parts: Sequence[str]) -> dict[str, str]:
    """Assign questions to parts: each group goes to the part that is furthest below its share.

    Raises:
        InputError: A part that has a share gets no question.
    """
    total = sum(len(group) for group in groups.members)
    lacking = {part: share / sum(shares) * total for part, share in zip(parts, shares, strict=True) if share}
    wanted = list(lacking)
    part_of: dict[str, str] = {}
    empty = list(wanted)
    for place, members in enumerate(groups.members):
        # The last groups go to parts that have none yet.
        candidates = empty if empty and len(groups.members) - place <= len(empty) else wanted
        part = max(candidates, key=lambda name: (lacking[name], -wanted.index(name)))
        lacking[part] -= len(members)
        part_of.update(dict.fromkeys(members, part))
        empty = [name for name in empty if name != part]
    if empty:
        raise InputError(
            f"{counted(total, 'question')} make {counted(len(groups.members), 'group')} that stay together "
            f"(near-duplicates and threads; the largest has {groups.largest}), so nothing is left for "
            f"{listed(empty)}; give more questions, or other --shares"
        )
    return part_of
