"""The training data of every task of distill takes next to no memory by the number of judgments."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from interank.artifact import Workplace, create
from interank.engines.models import find_model
from interank.judgments import write_judgments
from interank.recipe import load_recipe
from interank.tasks.order.lists import ListExample
from interank.tasks.order.ordering import Ordering
from interank.tasks.order.orderings import write_orderings
from interank.tasks.parts import task_named
from interank.types import Document, Example, Judgment, Query, Relevance, Source

DOCUMENTS = 4
CHARACTERS = 8_000
PROMPT = "{max_length: 256, max_query_tokens: 32, max_document_tokens: 48}"
HEAD = "task: head, objective: ranknet, teacher: judgments, encoding: {max_length: 256}"
TASKS = {
    "judge": f"task: judge, prompt: {PROMPT}, validation: {{questions: 2}}",
    "order": f"task: order, prompt: {PROMPT.replace('256', '512')}",
    "head": f"{HEAD}, validation: {{questions: 2}}",
    "group": f"task: group, prompt: {PROMPT.replace('256', '512')}, validation: {{questions: 2}}",
}


def long_judgments(out: Path, questions: int) -> Path:
    """Judgments of long texts with probabilities, with a list for each question; every fourth one is for validation."""
    examples, lists = [], []
    for number in range(questions):
        query = Query(f"q{number}", f"Where is fox {number}?")
        texts = [f"{place} {'a fox. ' * (CHARACTERS // 7)}" for place in range(DOCUMENTS)]
        documents = [Document(f"q{number}-{place}", text) for place, text in enumerate(texts)]
        split: Any = "train" if number % 4 else "validation"
        examples += [
            Example(
                query,
                document,
                Judgment("It is.", Relevance(place % 3)),
                (0.2, 0.3, 0.5),
                split,
                Source("", "", "", "", ""),
            )
            for place, document in enumerate(documents)
        ]
        lists.append(ListExample(query, tuple(documents), Ordering((2, 1, 0, 3), "See [3]."), split))
    place = create(out, "judgments", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    write_judgments(examples, place.folder)
    write_orderings([(item, 1.0) for item in lists], place.folder)
    return place.finish(seed=0, counts={"judgments": len(examples)}).path


@pytest.fixture(scope="module")
def few_and_many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("long")
    return long_judgments(folder / "few", 12), long_judgments(folder / "many", 48)


def most_held(task: str, student: Path, judgments: Path, work: Path) -> int:
    """The most bytes that Python holds while the training data are made and gone through once."""
    work.mkdir()
    keys = f"{{stage: distill, student: {student}, judgments: {judgments}, {TASKS[task]}}}"
    (work / "recipe.yaml").write_text(keys)
    recipe: Any = load_recipe(work / "recipe.yaml")
    place: Any = SimpleNamespace(work=work, folder=work)
    files = find_model(str(student))
    tracemalloc.start()
    data = task_named(task).training_data(recipe, files, place)
    groups = sum(1 for _ in data.groups)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert groups == data.counts["questions"] > 5
    return most


@pytest.mark.parametrize("task", TASKS)
def test_four_times_the_judgments_take_no_more_memory(
    task: str, tiny_folder: Path, few_and_many: tuple[Path, Path], tmp_path: Path
) -> None:
    few, many = few_and_many
    most_held(task, tiny_folder, few, tmp_path / "warm")
    before = most_held(task, tiny_folder, few, tmp_path / "few")
    after = most_held(task, tiny_folder, many, tmp_path / "many")
    print(f"{before} bytes, {after} of four times the judgments")
    # A judgment's text alone takes twice as much.
    assert after - before < 36 * DOCUMENTS * CHARACTERS // 2
