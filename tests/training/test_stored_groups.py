"""Groups that lie in files are those that were stored, and take no memory while nobody asks for them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from interank.training.rows import Row, StoredGroups, store

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
    store(GROUPS[:2], tmp_path, 0)
    store([], tmp_path, 1)
    store(GROUPS[2:], tmp_path, 2)
    found = StoredGroups(tmp_path, 3)
    assert list(found) == GROUPS
    assert [found[place] for place in range(len(found))] == GROUPS
    assert (found[-1], found[1:]) == (GROUPS[-1], GROUPS[1:])
    assert found.tasks == {"explain": 1, "reason": 1, "score": 1, "queries": 1}
    assert found.tokens == sum(len(row.input_ids) for group in GROUPS for row in group)
    assert all(type(index) is int for group in found for row in group for index in row.input_ids)


def test_nothing_stored_is_nothing(tmp_path: Path) -> None:
    store([], tmp_path, 0)
    found = StoredGroups(tmp_path, 1)
    assert (len(found), found.tokens, found.tasks) == (0, 0, {})


def test_stored_groups_take_little_memory(tmp_path: Path) -> None:
    groups, tokens = 500, 1_000
    store(((Row("score", tuple(range(1_000, 1_000 + tokens)), (place,)),) for place in range(groups)), tmp_path, 0)
    tracemalloc.start()
    found = StoredGroups(tmp_path, 1)
    assert sum(len(row.prompt) for group in found for row in group) == groups * tokens
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # As tuples they are 36 bytes a token.
    assert most < groups * tokens
