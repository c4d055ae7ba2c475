"""Labels without a teacher, grades that a teacher explains, and pairs that it grades anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from pydantic import ValidationError

from interank.artifact import Workplace, create, open_artifact
from interank.errors import InputError
from interank.judgments import read_judgments, write_judgments
from interank.recipe import GenerateRecipe
from interank.resources import resource_dir
from interank.stages import generate
from interank.stages.plan import plan
from interank.types import Judgment, Relevance
from tests.support import rule
from tests.support.faulty import chat
from tests.support.stub import Stub, serving

DUMPS = resource_dir("data") / "stackexchange"
PROMPT = {"order": "grade_first", "max_length": 600, "max_query_tokens": 64, "max_document_tokens": 64}
VOTES = {"grades": "votes", "max_reasoning_tokens": 0}
LABELS = {"kind": "clicks", "columns": {"query": "q"}, "explained": 1}


def recipe_of(teacher: dict[str, Any], **more: Any) -> GenerateRecipe:
    return GenerateRecipe.model_validate({"stage": "generate", "prompt": PROMPT, "teacher": teacher, **more})


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def labels(folder: Path) -> Path:
    """Labels of two questions as an import leaves them: weights, scores, one explanation."""
    place = create(folder, "judgments", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    examples = [
        replace(item, judgment=Judgment("", item.judgment.relevance), score=number / 2, weight=1.0 + number)
        for number, item in enumerate(rule.examples(5, queries=2, documents=4))
    ]
    examples[0] = replace(examples[0], judgment=Judgment("A person wrote this.", examples[0].judgment.relevance))
    write_judgments(examples, place.folder)
    counts = {"judgments": len(examples)}
    return place.finish(seed=0, counts=counts, notes={"grades": "clicks", "labels": LABELS}).path


def test_votes_alone_are_judgments_and_no_model_is_needed(tmp_path: Path) -> None:
    mining = {"questions": 10, "documents_per_question": 4, "validation_share": 0.3}
    recipe = recipe_of(VOTES, dumps=(str(DUMPS),), decontaminate=False, mining=mining)
    made = generate.run(recipe, tmp_path / "out")
    found = rows(made.path / "judgments.jsonl")
    assert len(found) == 40
    assert {row["reasoning"] for row in found} == {""}
    assert {(row["origin"], row["relevance"]) for row in found} >= {("accepted_answer", 2), ("hard_negative", 0)}
    assert {key: made.manifest["counts"][key] for key in ("rejected", "unexplained")} == {
        "rejected": 0,
        "unexplained": 40,
    }
    assert made.manifest["grades"] == "votes"
    assert "teacher" not in made.manifest
    card = DatasetCard.load(made.path / "README.md")
    assert "# Relevance judgments without explanations" in card.text
    assert "Grades by votes; no model was asked." in card.text


def test_given_grades_are_explained_and_nothing_else_changes(tiny_folder: Path, tmp_path: Path) -> None:
    before = labels(tmp_path / "labels")
    teacher = {"model": str(tiny_folder), "grades": "given", "max_reasoning_tokens": 240, "temperature": 1.0}
    made = generate.run(recipe_of(teacher, judgments=str(before)), tmp_path / "explained")
    found, given = read_judgments(made.path), read_judgments(before)
    assert [replace(item, judgment=Judgment("", item.judgment.relevance)) for item in found] == [
        replace(item, judgment=Judgment("", item.judgment.relevance)) for item in given
    ]
    assert found[0] == given[0]
    explained = [item for item in found if item.judgment.reasoning]
    unexplained = rows(made.path / "unexplained.jsonl")
    assert len(explained) + len(unexplained) == len(found) == 8
    assert len(explained) > 1, "the teacher explained nothing"
    assert all(row["reason"] for row in unexplained)
    assert made.manifest["counts"]["unexplained"] == len(unexplained)
    assert (made.manifest["grades"], made.manifest["teacher"]) == ("clicks", str(tiny_folder))
    assert made.manifest["labels"] == {**LABELS, "explained": len(explained)}
    assert made.manifest["inputs"]["judgments"]["digest"] == open_artifact(before).digest
    card = DatasetCard.load(made.path / "README.md")
    assert card.data.license is None, "whose texts these are is not known"
    assert "Licences of the documents: not told" in card.text


def test_the_plan_counts_what_is_asked(tiny_folder: Path, tmp_path: Path) -> None:
    given = {"model": str(tiny_folder), "grades": "given", "max_reasoning_tokens": 240}
    explained = recipe_of(given, judgments=str(labels(tmp_path / "labels")))
    # One of the eight is explained already.
    assert plan(explained)["pairs"] == 7
    assert plan(explained)["tokens"]["written"] == 7 * 120
    votes = recipe_of(VOTES, dumps=(str(DUMPS),), decontaminate=False, mining={"questions": 2})
    assert (plan(votes)["pairs"], plan(votes)["tokens"]) == (0, {"read": 0, "written": 0})


def test_pairs_of_labels_can_be_graded_anew(tmp_path: Path) -> None:
    stub = Stub(lambda number, body: (200, chat("Relevance Label: 1"), {}))
    with serving(stub):
        server = {"urls": [stub.url], "api": "chat"}
        teacher = {"model": "served", "engine": "openai", "server": server, "max_reasoning_tokens": 0}
        made = generate.run(recipe_of(teacher, judgments=str(labels(tmp_path / "labels"))), tmp_path / "graded")
    found = read_judgments(made.path)
    graded = (Judgment("", Relevance.PARTIAL), None, 1.0)
    assert [(item.judgment, item.score, item.weight) for item in found] == [graded] * 8
    assert (made.manifest["grades"], "labels" in made.manifest) == ("teacher", False)


def test_a_teacher_that_explains_nothing_is_told(tiny_folder: Path, tmp_path: Path) -> None:
    teacher = {"model": str(tiny_folder), "grades": "votes", "max_reasoning_tokens": 8}
    mining = {"questions": 2, "documents_per_question": 3}
    recipe = recipe_of(teacher, dumps=(str(DUMPS),), decontaminate=False, mining=mining)
    with pytest.raises(
        InputError, match=r"no usable explanation for 6 pairs.*max_reasoning_tokens: 0 to keep the grades"
    ):
        generate.run(recipe, tmp_path / "out")


@pytest.mark.parametrize(
    ("teacher", "more", "told"),
    [
        ({"model": "m", "max_reasoning_tokens": 5}, {}, "5 is too few for a sentence; give 8 or more, or 0"),
        ({"model": "m", "grades": "given", "max_reasoning_tokens": 0}, {}, "with 0 nothing would be added"),
        ({"grades": "votes"}, {}, "grades or explanations need a model"),
        ({"max_reasoning_tokens": 0}, {}, "grades or explanations need a model"),
        ({**VOTES, "queries": 2}, {}, "grades or explanations need a model"),
        (
            {"model": "m", "max_reasoning_tokens": 0},
            {"prompt": {"order": "reason_first"}},
            "the grade is the whole answer",
        ),
        ({"model": "m", "grades": "given", "queries": 2, "query_pairs": 1}, {}, "with grades: given no model grades"),
        ({"model": "m", "grades": "given"}, {"dumps": ("d",)}, "mined pairs have none; set votes"),
        (VOTES, {"judgments": "j"}, "votes come from mined posts"),
        ({"model": "m"}, {"judgments": "j", "pairs": "p"}, "judgments, pairs: both were given"),
    ],
)
def test_what_does_not_go_together_is_told(teacher: dict[str, Any], more: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        recipe_of(teacher, **more)


def test_given_grades_need_judgments() -> None:
    assert recipe_of({"model": "m", "grades": "given"}).missing() == ["judgments"]
    assert recipe_of({"model": "m", "grades": "given"}, judgments="j").missing() == []
