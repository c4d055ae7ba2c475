"""Groups hold what must not stand on both sides, and each part gets its share of whole groups."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from interank.errors import InputError
from interank.splits.grouping import PARTS, group, share_out
from interank.types import Query

WORDS = [
    "login",
    "invoice",
    "printer",
    "network",
    "mail",
    "screen",
    "driver",
    "update",
    "backup",
    "cable",
    "server",
    "folder",
    "account",
    "browser",
]


def questions(number: int, words: int = 12) -> list[Query]:
    rng = random.Random(1)
    return [
        Query(f"q{n}", f"{n} " + " ".join(f"{rng.choice(WORDS)}{rng.randrange(99)}" for _ in range(words)))
        for n in range(number)
    ]


def test_each_part_gets_its_share() -> None:
    groups = group(questions(100), {}, 1)
    assert len(groups.members) == 100
    found = share_out(groups, (0.8, 0.1, 0.1), PARTS)
    assert Counter(found.values()) == {"train": 80, "dev": 10, "test": 10}
    assert Counter(share_out(groups, (1, 0, 1), PARTS).values()) == {"train": 50, "test": 50}


def test_the_seed_decides_the_draw() -> None:
    first, again, other = (share_out(group(questions(60), {}, seed), (8, 1, 1), PARTS) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_threads_and_near_duplicates_stay_together() -> None:
    plain = questions(40)
    repeated = [Query(f"r{n}", plain[n].text + " please help") for n in range(10)]
    threads = {f"q{n}": f"thread {n % 2}" for n in range(20, 30)}
    for seed in range(5):
        groups = group([*plain, *repeated], threads, seed)
        found = share_out(groups, (0.6, 0.2, 0.2), PARTS)
        assert all(found[f"q{n}"] == found[f"r{n}"] for n in range(10))
        assert len({found[f"q{n}"] for n in range(20, 30, 2)}) == 1
        assert (groups.largest, groups.joined) == (5, 30)


def test_what_decontamination_takes_for_the_same_stays_together() -> None:
    words = " ".join(f"{word}{place}" for place, word in enumerate(WORDS * 2))
    # Runs of words in common, in a text several times as long: no near-duplicate of the whole.
    long = Query("long", f"{' '.join(f'other{n}' for n in range(90))} {words}")
    groups = group([Query("short", words), long, *questions(5)], {}, 1)
    assert groups.members[0] == ("short", "long")


def test_no_part_stays_empty_while_there_are_groups() -> None:
    for number in (3, 4, 6, 9):
        found = share_out(group(questions(number), {}, 1), (0.8, 0.1, 0.1), PARTS)
        assert set(found.values()) == set(PARTS)


def test_too_few_groups_are_told() -> None:
    with pytest.raises(InputError, match=r"2 questions make 2 groups .* nothing is left for test"):
        share_out(group(questions(2), {}, 1), (1, 1, 1), PARTS)
    same = [Query(f"q{n}", "why does the login fail on the new server") for n in range(9)]
    with pytest.raises(InputError, match=r"9 questions make 1 group .* the largest has 9"):
        share_out(group(same, {}, 1), (0.8, 0.1, 0.1), PARTS)
