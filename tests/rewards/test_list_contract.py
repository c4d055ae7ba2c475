"""Every reward of lists keeps the contract: length, order, pickling, the best order highest, malformed never above."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import pickle
import random
from pathlib import Path
from typing import Any

import pytest

from interank.errors import InputError
from interank.ir.measures import score_run
from interank.resources import resource_dir
from interank.rewards import Reward
from interank.settings import RewardRecipe
from interank.tasks.order import ordering
from interank.types import Qrel, Run

pytestmark = pytest.mark.own_rewards

NAMES = sorted(path.stem for path in resource_dir("rewards").glob("*.py"))
FILES = [name for name in NAMES if Reward.from_recipe(RewardRecipe(use=name)).of == "lists"]
GRADES = (0, 2, 1, 0)
UNREADABLE = ["", "[2] helps most, [3] a little.", "Step 1. Step 2.", "<think>Ranking: [2] > [3] > [1] > [4]"]
MENDED = [
    "So.\n\nRanking: [2] > [3]",
    "So.\n\nRanking: [2] > [2] > [3] > [1]",
    "So.\n\nRanking: [2] > [3] > [1] > [4] > [5]",
    "So.\n\nRanking: [2] > [3] > [1] > [4",
]


def reward_of(name: str, **params: Any) -> Reward:
    return Reward.from_recipe(RewardRecipe(use=name, params=params))


def answers() -> list[str]:
    """Every order of a list, with a thought that names documents in another order."""
    return [
        ordering.answer(positions, "[1] and [4] do not help, 2 others do.")
        for positions in itertools.permutations(range(len(GRADES)))
    ]


def columns(completions: list[str], grades: tuple[int, ...] = GRADES) -> dict[str, list[Any]]:
    number = len(completions)
    return {
        "completions": completions,
        "query_id": ["q"] * number,
        "query": ["?"] * number,
        "doc_ids": [[f"d{place}" for place in range(len(grades))]] * number,
        "documents": [["A fox."] * len(grades)] * number,
        "grades": [list(grades)] * number,
    }


def test_there_are_rewards_of_lists() -> None:
    assert FILES == ["list_ndcg", "list_recall", "rank_biased_overlap"]


@pytest.mark.parametrize("name", FILES)
def test_one_finite_value_or_none_a_completion(name: str) -> None:
    completions = [*answers(), *UNREADABLE, *MENDED]
    values = reward_of(name)(**columns(completions))
    assert len(values) == len(completions)
    assert all(value is None or math.isfinite(value) for value in values)
    assert reward_of(name)(**columns([])) == []


@pytest.mark.parametrize("name", FILES)
def test_rows_permuted_give_values_permuted(name: str) -> None:
    rows = columns([*answers(), *UNREADABLE, *MENDED])
    reward = reward_of(name)
    values = reward(**rows)
    order = random.Random(0).sample(range(len(values)), len(values))
    assert reward(**{key: [column[i] for i in order] for key, column in rows.items()}) == [values[i] for i in order]


def _in_worker(reward: Reward, rows: dict[str, list[Any]]) -> list[float | None]:
    return reward(**rows)


@pytest.mark.parametrize("name", FILES)
def test_it_reaches_a_spawned_worker(name: str) -> None:
    reward = reward_of(name)
    assert pickle.loads(pickle.dumps(reward)) == reward
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_in_worker, (reward, columns(answers()))) == reward(**columns(answers()))


@pytest.mark.parametrize("name", FILES)
def test_the_best_orders_alone_have_the_maximum(name: str) -> None:
    completions = answers()
    # Where the cutoff is not below the list's length, recall cannot tell orders apart.
    params = {"cutoff": 2} if name == "list_recall" else {}
    values = dict(zip(completions, reward_of(name, **params)(**columns(completions)), strict=True))
    best = {text for text, value in values.items() if value == 1.0}
    orders = {text: ordering.parse(text, len(GRADES)) for text in completions}
    first = {text for text, found in orders.items() if found and [GRADES[p] for p in found.positions][:2] == [2, 1]}
    if name == "list_recall":
        first = {text for text, found in orders.items() if found and set(found.positions[:2]) == {1, 2}}
    assert best == first
    assert all(value is not None and 0 <= value <= 1 for value in values.values())


@pytest.mark.parametrize("name", FILES)
def test_what_is_malformed_is_never_above_what_is_well_formed(name: str) -> None:
    completions = [*answers(), *MENDED, *UNREADABLE]
    values = [value for value in reward_of(name)(**columns(completions)) if value is not None]
    assert len(values) == len(completions)
    whole, mended = values[: len(answers())], values[len(answers()) : -len(UNREADABLE)]
    assert set(mended) == {0.0}
    assert set(values[-len(UNREADABLE) :]) == {-1.0}
    assert min(whole) >= 0.0


@pytest.mark.parametrize("name", FILES)
def test_a_list_of_one_grade_has_nothing_to_reward(name: str) -> None:
    assert reward_of(name)(**columns([answers()[0], "no ranking"], (1, 1, 1, 1))) == [None, None]


@pytest.mark.parametrize("name", FILES)
def test_lists_of_different_lengths_stand_in_one_batch(name: str) -> None:
    long = columns(answers()[:1])
    short = columns(["Ranking: [2] > [1]"], (0, 1))
    both = {key: [*long[key], *short[key]] for key in long}
    assert reward_of(name)(**both) == [*reward_of(name)(**long), *reward_of(name)(**short)]


def test_ndcg_is_trec_evals() -> None:
    completions = answers()
    values = reward_of("list_ndcg", cutoff=3)(**columns(completions))
    qrels = [Qrel("q", str(place), grade) for place, grade in enumerate(GRADES)]
    for text, value in zip(completions, values, strict=True):
        found = ordering.parse(text, len(GRADES))
        assert found is not None
        run = Run.from_orders({"q": [str(place) for place in found.positions]}, tag="t")
        assert value == pytest.approx(score_run(qrels, run, ("nDCG@3",)).mean["nDCG@3"])


def test_recall_by_hand() -> None:
    grades = (1, 0, 2, 1, 0)
    texts = ["Ranking: [1] > [2] > [3] > [4] > [5]", "Ranking: [2] > [5] > [1] > [3] > [4]"]
    assert reward_of("list_recall", cutoff=2)(**columns(texts, grades)) == [0.5, 0.0]
    assert reward_of("list_recall", cutoff=3)(**columns(texts, grades)) == [pytest.approx(2 / 3), pytest.approx(1 / 3)]
    assert reward_of("list_recall", cutoff=3, relevant_from=2)(**columns(texts, grades)) == [1.0, 0.0]


def test_overlap_by_hand() -> None:
    text = ["Ranking: [1] > [2] > [3]"]
    # The judged order is 2, 1, 3 (of equal grades the completion's): agreement 0, 2/2, 3/3.
    expected = (0 + 0.5 * 1 + 0.25 * 1) / 1.75
    assert reward_of("rank_biased_overlap", persistence=0.5)(**columns(text, (0, 2, 0))) == [pytest.approx(expected)]


def test_a_file_that_says_it_values_something_else_is_told(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("OF = 2\ndef reward(*, completions, **_):\n    return [0.0] * len(completions)\n")
    with pytest.raises(InputError, match=r"OF is 2.*judgments.*lists"):
        _ = reward_of(str(file)).of
