"""Groups that lie in files are those that were stored, and take no memory while nobody asks for them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from interank.engines.pairs import Pair
from interank.tasks.head.training import HEAD_GROUPS, HeadGroup
from interank.training.rows import ROWS, Row, tasks_of
from interank.training.stored_groups import StoredGroups, store

GROUPS = [
    (
        Row("explain", (1, 2, 151_000), (3, 4), 1, 0, (0.1, 0.2, 0.7), listed=True, weight=1 / 3),
        Row("reason", (1, 2), (7,)),
    ),
    (Row("score", (5,), (6, 7, 8), 2, 2, (1.0, 0.0, 0.0)),),
    (Row("queries", (9,), (10,)),),
]


def test_stored_groups_are_what_was_stored(tmp_path: Path) -> None:
    # As three processes do it, of which the second has nothing.
    store(ROWS, GROUPS[:2], tmp_path, 0)
    store(ROWS, [], tmp_path, 1)
    store(ROWS, GROUPS[2:], tmp_path, 2)
    found = StoredGroups(ROWS, tmp_path, 3)
    assert list(found) == GROUPS
    assert [found[place] for place in range(len(found))] == GROUPS
    assert (found[-1], found[1:]) == (GROUPS[-1], GROUPS[1:])
    assert tasks_of(found) == {"explain": 1, "reason": 1, "score": 1, "queries": 1}
    assert found.tokens == sum(len(row.input_ids) for group in GROUPS for row in group)
    assert all(type(index) is int for group in found for row in group for index in row.input_ids)


def test_heads_groups_are_what_was_stored(tmp_path: Path) -> None:
    pairs = Pair((1, 151_000, 2), 2, cut=7), Pair((3, 4), 1)
    groups = [
        HeadGroup(pairs, (2, 0), (0.1, -1 / 3), (1.0, 2.5)),
        HeadGroup(pairs[:1], (1,), weights=(0.5,)),
        HeadGroup(pairs[1:], (0,), (4.0,)),
    ]
    store(HEAD_GROUPS, groups, tmp_path, 0)
    found = StoredGroups(HEAD_GROUPS, tmp_path, 1)
    assert list(found) == groups
    assert (found.members, found.tokens) == (4, 10)
    assert all(type(index) is int for group in found for pair in group.pairs for index in pair.ids)


def test_nothing_stored_is_nothing(tmp_path: Path) -> None:
    store(ROWS, [], tmp_path, 0)
    found = StoredGroups(ROWS, tmp_path, 1)
    assert (len(found), found.tokens, tasks_of(found)) == (0, 0, {})


def test_stored_groups_take_little_memory(tmp_path: Path) -> None:
    groups, tokens = 500, 1_000
    stored = ((Row("score", tuple(range(1_000, 1_000 + tokens)), (place,)),) for place in range(groups))
    store(ROWS, stored, tmp_path, 0)
    tracemalloc.start()
    found = StoredGroups(ROWS, tmp_path, 1)
    assert sum(len(row.prompt) for group in found for row in group) == groups * tokens
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # As tuples they are 36 bytes a token.
    assert most < groups * tokens
