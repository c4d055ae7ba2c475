"""Near-duplicates are those that comparing every pair finds."""

import random
import time
import tracemalloc
from collections.abc import Sequence

import pytest

from interank.ir.overlap import minhash, near_duplicates

WORDS = [
    f"{a}{b}" for a in ("sun", "tea", "mill", "river", "lamp") for b in ("light", "time", "stone", "bank", "house")
]


def jaccard(one: str, other: str) -> float:
    def runs(text: str) -> set[str]:
        found = text.split()
        return {" ".join(found[start : start + 3]) for start in range(len(found) - 2)}

    mine, theirs = runs(one), runs(other)
    return len(mine & theirs) / len(mine | theirs)


def edited(text: str, edits: int, rng: random.Random) -> str:
    found = text.split()
    for place in rng.sample(range(len(found)), edits):
        found[place] = f"new{rng.randrange(10**6)}"
    return " ".join(found)


def made(seed: int) -> list[str]:
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(40, 120))) for _ in range(80)]
    texts += [edited(text, rng.choice([0, 1, 1, 2, 6, 30]), rng) for text in texts]
    rng.shuffle(texts)
    return texts


def test_each_text_is_given_the_first_that_every_pair_compared_gives() -> None:
    texts = made(3)
    firsts: list[int] = []
    for number, text in enumerate(texts):
        like = [other for other in range(number) if firsts[other] == other and jaccard(text, texts[other]) >= 0.8]
        firsts.append(like[0] if like else number)
    assert near_duplicates(texts, 0.8) == firsts
    assert 20 < sum(first != number for number, first in enumerate(firsts)) < 80


def test_at_a_lower_threshold_more_are_near() -> None:
    texts = made(4)
    counts = [sum(first != n for n, first in enumerate(near_duplicates(texts, limit))) for limit in (0.95, 0.8, 0.5)]
    assert counts[0] < counts[1] < counts[2]


def test_short_and_empty_texts() -> None:
    assert near_duplicates(["", "", "one", "One!", "one two", "two one", "..."]) == [0, 1, 2, 2, 4, 5, 6]
    assert near_duplicates([]) == []


def test_a_chain_does_not_join_its_ends() -> None:
    rng = random.Random(1)
    chain = [" ".join(rng.choices(WORDS, k=100))]
    for _ in range(12):
        chain.append(edited(chain[-1], 2, rng))
    firsts = near_duplicates(chain, 0.8)
    assert firsts[1] == 0
    assert firsts[-1] != 0
    assert all(jaccard(chain[number], chain[first]) >= 0.8 for number, first in enumerate(firsts))


def test_thousands_of_copies_take_no_pairs() -> None:
    rng = random.Random(2)
    text = " ".join(rng.choices(WORDS, k=60))
    start = time.process_time()
    firsts = near_duplicates([edited(text, 1, rng) for _ in range(5000)], 0.8)
    # Comparing all 12 million pairs, one at a time, would take minutes.
    assert time.process_time() - start < 20
    assert set(firsts) == {0}


def test_few_texts_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Made(Sequence[str]):
        def __len__(self) -> int:
            return 600

        def __getitem__(self, place: int) -> str:  # type: ignore[override]
            return " ".join(random.Random(place).choices(WORDS, k=200))

    monkeypatch.setattr(minhash, "_TOGETHER", 50)
    near_duplicates(["of libraries, which are imported once"])
    tracemalloc.start()
    assert near_duplicates(Made()) == list(range(600))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Words of all of them take 10 MB.
    assert most < 6e6
