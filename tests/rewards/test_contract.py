"""Every reward file keeps the contract: length, order, pickling, gold at the top, malformed never above."""

from __future__ import annotations

import math
import multiprocessing
import pickle
import random
from pathlib import Path
from typing import Any

import pytest

from interank import judging
from interank.errors import InputError
from interank.recipe import RewardRecipe
from interank.resources import resource_dir
from interank.rewards import Reward
from interank.types import GRADES, Judgment

ALL = sorted(path.stem for path in resource_dir("rewards").glob("*.py"))
# Those of lists have a contract of their own (test_list_contract).
FILES = [name for name in ALL if Reward.from_recipe(RewardRecipe(use=name)).of == "judgments"]
# Rewards of a completion among others: the gold judgment is best only where the others are judged right too.
OF_RANKINGS = {"ranking"}
MALFORMED = ["", "I think it is relevant.", "Relevance Label: 2\n\nRelevance Label: 2", "Relevance Label: 7\n\nWhy."]


def batch() -> dict[str, list[Any]]:
    """Two queries with three documents each, two completions a document: one right, one off."""
    rows: dict[str, list[Any]] = {
        name: [] for name in ("completions", "query_id", "doc_id", "query", "document", "relevance", "probabilities")
    }
    for query in ("a", "b"):
        for grade in GRADES:
            for given in (grade, GRADES[(grade + 1) % 3]):
                rows["completions"].append(judging.answer(Judgment("It says so.", given), "grade_first"))
                rows["query_id"].append(query)
                rows["doc_id"].append(f"{query}{grade}")
                rows["query"].append("Where is the fox?")
                rows["document"].append("A fox sits in the barn.")
                rows["relevance"].append(int(grade))
                rows["probabilities"].append([0.2, 0.3, 0.5])
    return rows


def reward_of(name: str) -> Reward:
    return Reward.from_recipe(RewardRecipe(use=name))


@pytest.mark.parametrize("name", FILES)
def test_one_finite_value_or_none_a_completion(name: str) -> None:
    rows = batch()
    values = reward_of(name)(**rows)
    assert len(values) == len(rows["completions"])
    assert all(value is None or math.isfinite(value) for value in values)


@pytest.mark.parametrize("name", FILES)
def test_rows_permuted_give_values_permuted(name: str) -> None:
    rows, reward = batch(), reward_of(name)
    values = reward(**rows)
    order = list(range(len(values)))
    random.Random(0).shuffle(order)
    assert reward(**{key: [column[i] for i in order] for key, column in rows.items()}) == [values[i] for i in order]


def _in_worker(reward: Reward, rows: dict[str, list[Any]]) -> list[float | None]:
    return reward(**rows)


@pytest.mark.parametrize("name", FILES)
def test_it_reaches_a_spawned_worker(name: str) -> None:
    reward = reward_of(name)
    assert pickle.loads(pickle.dumps(reward)) == reward
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_in_worker, (reward, batch())) == reward(**batch())


@pytest.mark.parametrize("name", sorted(set(FILES) - OF_RANKINGS))
@pytest.mark.parametrize("grade", GRADES)
def test_the_gold_judgment_has_the_maximum(name: str, grade: int) -> None:
    answers = [judging.answer(Judgment("It says so.", other), "grade_first") for other in GRADES]
    completions = [answers[grade], *answers, *MALFORMED]
    values = _of_one_document(name, completions, grade)
    assert values[0] == max(values)


@pytest.mark.parametrize("name", FILES)
def test_no_malformed_completion_is_above_a_well_formed_one(name: str) -> None:
    for grade in GRADES:
        formed = [judging.answer(Judgment("It says so.", other), "grade_first") for other in GRADES]
        values = _of_one_document(name, [*formed, *MALFORMED], grade)
        worst = min((value for value in values[: len(formed)] if value is not None), default=math.inf)
        assert all(value is None or value <= worst for value in values[len(formed) :])


def _of_one_document(name: str, completions: list[str], grade: int) -> list[float]:
    """The values of completions for one document, with one other, rightly judged document beside it."""
    other = (grade + 1) % 3
    beside = judging.answer(Judgment("So.", GRADES[other]), "grade_first")
    number = len(completions)
    values = reward_of(name)(
        completions=[*completions, beside],
        query_id=["q"] * (number + 1),
        doc_id=["d"] * number + ["e"],
        query=["?"] * (number + 1),
        document=["."] * (number + 1),
        relevance=[grade] * number + [other],
        probabilities=[[0.2, 0.3, 0.5]] * (number + 1),
    )
    assert None not in values[:number]
    return [value for value in values[:number] if value is not None]


def test_grade_agreement_by_hand() -> None:
    completions = ["Relevance Label: 2\n\nYes.", "Relevance Label: 1\n\nHalf.", "Relevance Label: 0\n\nNo.", "No."]
    assert reward_of("grade_agreement")(completions=completions, relevance=[2] * 4) == [1.0, 0.5, 0.0, -1.0]


def test_ranking_by_hand() -> None:
    completions = [f"Relevance Label: {grade}\n\nSo." for grade in (2, 1, 0)]
    columns = {"query_id": ["q"] * 3, "doc_id": ["a", "b", "c"]}
    reward = reward_of("ranking")
    assert reward(completions=completions, relevance=[2, 1, 0], **columns) == [1.0, 1.0, 1.0]
    assert reward(completions=completions, relevance=[0, 1, 2], **columns) == [0.0, 0.0, 0.0]
    assert reward(completions=completions, relevance=[1, 1, 1], **columns) == [None, None, None]
    same = ["Relevance Label: 1\n\nSo."] * 3
    assert reward(completions=same, relevance=[2, 1, 0], **columns) == [0.5, 0.5, 0.5]
    spoiled = [completions[0], "no label", completions[2]]
    assert reward(completions=spoiled, relevance=[2, 1, 0], **columns) == [0.75, -1.0, 0.75]


def test_rankings_of_different_queries_do_not_meet() -> None:
    completions = ["Relevance Label: 0\n\nNo.", "Relevance Label: 2\n\nYes."]
    values = reward_of("ranking")(completions=completions, relevance=[2, 0], query_id=["a", "b"], doc_id=["x", "y"])
    assert values == [None, None]


def test_a_users_own_file_works_by_path_with_parameters(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def reward(*, completions, margin=0.0, **_):\n    return [margin] * len(completions)\n")
    reward = Reward.from_recipe(RewardRecipe(use=str(file), params={"margin": 0.5}))
    assert reward(completions=["a", "b"]) == [0.5, 0.5]
    assert reward.__name__ == "mine"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("x = 1\n", "no function `reward`"),
        ("def reward(*, completions, **_):\n    return [1.0]\n", "1 values for 2 completions"),
        ("def reward(*, completions, **_):\n    return [float('nan')] * len(completions)\n", "finite number or None"),
    ],
)
def test_a_faulty_file_is_told_in_a_sentence(tmp_path: Path, body: str, message: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(body)
    with pytest.raises(InputError, match=message):
        Reward.from_recipe(RewardRecipe(use=str(file)))(completions=["a", "b"])


def test_an_exception_in_a_reward_is_not_a_value(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def reward(*, completions, **_):\n    raise KeyError('x')\n")
    with pytest.raises(KeyError):
        Reward.from_recipe(RewardRecipe(use=str(file)))(completions=["a"])


def test_unknown_rewards_and_parameters_are_refused() -> None:
    with pytest.raises(InputError, match="known are grade_agreement"):
        Reward.from_recipe(RewardRecipe(use="grade_agrement"))
    with pytest.raises(InputError, match="no parameter 'margin'"):
        Reward.from_recipe(RewardRecipe(use="well_formed", params={"margin": 1}))
