"""Every reward file keeps the contract: length, order, pickling, gold at the top, malformed never above."""

from __future__ import annotations

import math
import multiprocessing
import pickle
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from interank import judging
from interank.errors import InputError
from interank.resources import resource_dir
from interank.rewards import Reward, allow_code
from interank.settings import RewardRecipe
from interank.tasks.judge.policy import COLUMNS
from interank.tasks.judge.reading import ExplanationInput, Probabilities, Token
from interank.types import GRADES, Judgment

pytestmark = pytest.mark.own_rewards

ALL = sorted(path.stem for path in resource_dir("rewards").glob("*.py"))
# Those of lists have a contract of their own (test_list_contract).
FILES = [name for name in ALL if Reward.from_recipe(RewardRecipe(use=name)).of == "judgments"]
# The gold judgment is best where the others are judged right too; or where its explanation is as asked, and shows so
# under a recipe's weighted total (test_attacks).
NOT_BY_ITSELF = {"ranking", "faithfulness", "stance"}
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
    return {**rows, "judge": even_judge, "reader": EvenReader()}  # type: ignore[dict-item]


def reward_of(name: str, **params: Any) -> Reward:
    return Reward.from_recipe(RewardRecipe(use=name, params=params))


def even_judge(texts: Sequence[str]) -> list[str | None]:
    """Gives every explanation the same mark; a plain function, so that it reaches spawned workers."""
    return ["Mark: 7"] * len(texts)


class EvenReader:
    """Takes every text for alike; picklable, so that it reaches spawned workers."""

    def grades(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        return [(0.2, 0.3, 0.5)] * len(pairs)

    def led_to(self, explained: Sequence[tuple[str, str]]) -> list[Probabilities]:
        return [(0.2, 0.3, 0.5)] * len(explained)

    def tokens(self, told: Sequence[ExplanationInput]) -> list[list[Token]]:
        return [[Token(0, len(item.explanation), -1.0)] for item in told]


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
    permuted = {key: [column[i] for i in order] if isinstance(column, list) else column for key, column in rows.items()}
    assert reward(**permuted) == [values[i] for i in order]


def _in_worker(reward: Reward, rows: dict[str, list[Any]]) -> list[float | None]:
    return reward(**rows)


@pytest.mark.parametrize("name", FILES)
def test_it_reaches_a_spawned_worker(name: str) -> None:
    reward = reward_of(name)
    assert pickle.loads(pickle.dumps(reward)) == reward
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_in_worker, (reward, batch())) == reward(**batch())


@pytest.mark.parametrize("name", sorted(set(FILES) - NOT_BY_ITSELF))
@pytest.mark.parametrize("grade", GRADES)
def test_the_gold_judgment_has_the_maximum(name: str, grade: int) -> None:
    answers = [judging.answer(Judgment("It says so.", other), "grade_first") for other in GRADES]
    completions = [answers[grade], *answers, *MALFORMED]
    values = [value for value in _of_one_document(name, completions, grade) if value is not None]
    assert values[0] == max(values)


@pytest.mark.parametrize("name", FILES)
def test_no_malformed_completion_is_above_a_well_formed_one(name: str) -> None:
    for grade in GRADES:
        formed = [judging.answer(Judgment("It says so.", other), "grade_first") for other in GRADES]
        values = _of_one_document(name, [*formed, *MALFORMED], grade)
        worst = min((value for value in values[: len(formed)] if value is not None), default=math.inf)
        assert all(value is None or value <= worst for value in values[len(formed) :])


def _of_one_document(name: str, completions: list[str], grade: int) -> list[float | None]:
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
        judge=even_judge,
        reader=EvenReader(),
    )
    return values[:number]


def test_a_users_own_file_works_by_path_with_parameters(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def reward(*, completions, margin=0.0, **_):\n    return [margin] * len(completions)\n")
    reward = reward_of(str(file), margin=0.5)
    assert reward(completions=["a", "b"]) == [0.5, 0.5]
    assert reward.__name__ == "mine"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_in_worker, (reward, {"completions": ["a"]})) == [0.5]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("x = 1\n", "no function `reward`"),
        ("def reward(*, completions, **_):\n    return [1.0]\n", "1 value for 2 completions"),
        (
            "def reward(*, completions, **_):\n    return [float('nan')] * len(completions)\n",
            "nan is no finite number, expected a number or None",
        ),
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
    with pytest.raises(InputError, match=rf"KeyError.*{re.escape(str(file))}:2"):
        Reward.from_recipe(RewardRecipe(use=str(file)))(completions=["a"])


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ("import nothing_of_that_name\n", ("ModuleNotFoundError", "nothing_of_that_name", ":1")),
        ("\ndef reward(:\n", ("SyntaxError", ":2")),
        ("import sys\nsys.exit('no GPU')\n", ("SystemExit", "no GPU", ":2")),
        ("async def reward(*, completions, **_):\n    return [0.0] * len(completions)\n", ("async",)),
        ("def reward(*, completions):\n    return [0.0] * len(completions)\n", ("completions", "**_")),
    ],
)
def test_what_can_never_be_called_is_refused_when_it_is_named(tmp_path: Path, body: str, facts: Sequence[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(body)
    with pytest.raises(InputError) as refused:
        Reward.from_recipe(RewardRecipe(use=str(file)))
    assert str(file) in str(refused.value)
    assert [fact for fact in facts if fact not in str(refused.value)] == []


def test_a_foreign_file_is_refused_unless_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERANK_ALLOW_CODE")
    file = tmp_path / "mine.py"
    ran = tmp_path / "ran"
    file.write_text(
        f"open({str(ran)!r}, 'w').close()\ndef reward(*, completions, **_):\n    return [1.0] * len(completions)\n"
    )
    with pytest.raises(InputError, match=rf"{re.escape(str(file))}.*read it, and say --allow-code"):
        Reward.from_recipe(RewardRecipe(use=str(file)))
    assert not ran.exists()
    Reward.from_recipe(RewardRecipe(use="ranking"))
    allow_code()
    assert Reward.from_recipe(RewardRecipe(use=str(file)))(completions=["a"]) == [1.0]
    assert ran.exists()


@pytest.mark.parametrize("given", ["'yes'", "None", "0.5", "['0.5', '1']", "iter([1.0, 1.0])"])
def test_what_is_no_list_of_numbers_is_no_value(tmp_path: Path, given: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"def reward(*, completions, **_):\n    return {given}\n")
    with pytest.raises(InputError, match=re.escape(str(file))):
        Reward.from_recipe(RewardRecipe(use=str(file)))(completions=["a", "b"])


def test_a_column_that_there_is_not_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def reward(*, completions, query, votes, **_):\n    return [0.0] * len(completions)\n")
    reward = Reward.from_recipe(RewardRecipe(use=str(file)))
    for ask in (lambda: reward.check_columns(COLUMNS), lambda: reward(completions=["a"], query=["?"], order=["x"])):
        with pytest.raises(InputError, match=r"votes.*order"):
            ask()
    # What its params say need not be a column.
    Reward.from_recipe(RewardRecipe(use=str(file), params={"votes": 3})).check_columns(COLUMNS)


def test_a_file_says_what_it_credits(tmp_path: Path) -> None:
    credits = {name: reward_of(name).credit for name in FILES}
    assert {name for name, credit in credits.items() if credit == "grade"} == {"grade_agreement", "ranking"}
    assert credits["well_formed"] == "answer"
    file = tmp_path / "mine.py"
    file.write_text("def reward(*, completions, **_):\n    return [0.0] * len(completions)\n")
    assert reward_of(str(file)).credit == "answer"
    file = tmp_path / "other.py"
    file.write_text("CREDIT = 'tokens'\ndef reward(*, completions, **_):\n    return [0.0] * len(completions)\n")
    with pytest.raises(InputError, match=r"CREDIT is 'tokens'.*grade, explanation or answer"):
        _ = reward_of(str(file)).credit


def test_who_needs_a_judge_says_so() -> None:
    assert [name for name in FILES if reward_of(name).needs_judge] == ["explanation_quality"]
    assert not reward_of("explanation_quality", model="any").needs_judge
    with pytest.raises(InputError, match="neither a judge nor a model"):
        reward_of("explanation_quality")(completions=["Relevance Label: 0\n\nNo."], query=["?"], document=["."])


def test_unknown_rewards_and_parameters_are_refused() -> None:
    with pytest.raises(InputError, match="brevity, calibration"):
        Reward.from_recipe(RewardRecipe(use="grade_agrement"))
    with pytest.raises(InputError, match="'margin'"):
        Reward.from_recipe(RewardRecipe(use="well_formed", params={"margin": 1}))
