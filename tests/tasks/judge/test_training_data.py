"""What distill learns of judgments on disk is what all of them in memory give, whoever writes which share of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interank import distributed
from interank.engines.models import find_model
from interank.engines.prompts import PromptEncoder
from interank.judged_questions import JudgedQuestions
from interank.judgments import by_question, evenly_weighted
from interank.settings import PromptSettings
from interank.settings.student import MixtureRecipe
from interank.tasks.judge.attacks import with_attacked
from interank.tasks.judge.recipe import DistillJudge
from interank.tasks.judge.rows import training_groups
from interank.tasks.judge.training_data import _stored, training_data
from interank.tasks.sft_data import perhaps_without
from interank.training.rows import Group
from interank.types import Example, Judgment
from tests.support import rule
from tests.support.artifacts import judgments_artifact


def odd(*, apart: bool) -> list[Example]:
    """Judgments with weights, instructions and some without an explanation; perhaps those of a question lie apart."""
    found = [
        replace(
            item,
            weight=1.0 + number % 3,
            query=replace(item.query, instruction="Judge for a fox." if number < 20 else None),
            judgment=Judgment(item.judgment.reasoning if number % 4 else "", item.judgment.relevance),
        )
        for number, item in enumerate(rule.examples(0, queries=7, documents=5))
    ]
    if apart:
        random.Random(1).shuffle(found)
    return found


def in_memory(recipe: DistillJudge, encoder: PromptEncoder, examples: list[Example]) -> list[Group]:
    """The groups of all examples at once."""
    asked = [
        replace(each, query=perhaps_without(each.query, recipe.without_instruction, recipe.seed)) for each in examples
    ]
    shown = with_attacked(evenly_weighted(asked), recipe.attacked_negatives, recipe.seed)
    most = recipe.documents_per_group
    return list(training_groups(encoder, by_question(shown), recipe.practised, documents=most, seed=recipe.seed))


class Place:
    """A folder to work in."""

    def __init__(self, work: Path) -> None:
        self.work = work


@pytest.mark.parametrize("apart", [False, True])
def test_what_is_stored_is_what_all_examples_in_memory_give(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    given = odd(apart=apart)
    recipe = DistillJudge(
        stage="distill",
        judgments=judgments_artifact(tmp_path / "judgments", given),
        student=str(tiny_folder),
        prompt=PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60),
        mixture=MixtureRecipe(explain=0.7, reason=0.5, score=0.6),
        attacked_negatives=0.5,
        without_instruction=0.3,
        documents_per_group=3,
    )
    place: Any = Place(tmp_path / "one")
    found = training_data(recipe, find_model(str(tiny_folder)), place)
    groups = in_memory(recipe, found.encoder, given)
    rows = [row for group in groups for row in group]
    assert list(found.groups) == groups
    assert found.counts["tokens"] == sum(len(row.input_ids) for row in rows)
    assert found.counts["rows"] == len(rows)
    assert (found.counts["examples"], found.counts["questions"]) == (len(given), 7)
    assert found.counts["attacked"] > 0

    # As three processes do it, one after the other.
    made: list[None] = []
    attacked: list[int] = []

    def each_of(make: Callable[[], None]) -> list[None]:
        made.append(make())
        return made

    def added(numbers: list[int]) -> list[int]:
        attacked.extend(numbers)
        return [sum(attacked)]

    monkeypatch.setattr(distributed, "world", lambda: 3)
    monkeypatch.setattr(distributed, "each_of", each_of)
    monkeypatch.setattr(distributed, "added", added)
    questions = JudgedQuestions(tmp_path / "judgments", "train")
    for number in range(3):
        monkeypatch.setattr(distributed, "rank", lambda number=number: number)
        stored = _stored(recipe, found.encoder, questions, tmp_path / "three")
    assert (list(stored[0]), stored[1]) == (groups, found.counts["attacked"])
    assert len({path.stat().st_size for path in (tmp_path / "three").rglob("*.ids")}) > 1
