"""reward: explanations with marks to a reward model that stands beside a policy, and what is refused."""

from __future__ import annotations

import json
import logging
import math
import random
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from peft import PeftConfig
from safetensors.torch import load_file

from interank.artifact import Artifact, open_artifact
from interank.engines.adapters import ADAPTER_WEIGHTS
from interank.engines.heads import Head, scores
from interank.engines.models import find_model
from interank.engines.reward_adapter import HEAD, Explanation, open_reward
from interank.engines.transformers import reading
from interank.errors import ArtifactError, InputError, RecipeError
from interank.explanations import read_explanations
from interank.recipe import load_recipe
from interank.stages import reward
from interank.stages.reward_forecast import forecast_reward
from interank.stages.watch import page as watched_page
from interank.tasks.head.reward_model.figures import HeldOutScores, key_of
from interank.tasks.head.reward_model.inputs import compared_rows
from interank.tasks.head.reward_model.training_data import RewardTrainingData
from interank.types import Document, Query
from tests.support.marked_explanations import (
    READING,
    artifact_of,
    explained_artifact,
    explanations_of,
    judged,
    recipe_of,
)


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    examples = judged(queries=3, held_out=2)
    return explained_artifact(tmp_path_factory.mktemp("explained") / "judgments", examples)


@pytest.fixture(scope="module")
def made(tiny_folder: Path, explained: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    recipe = recipe_of(tiny_folder, explained, left_out=["minimal_edit"])
    return reward.run(recipe, tmp_path_factory.mktemp("reward") / "reward")


def test_what_is_made_stands_on_a_causal_model_and_keeps_its_head_apart(made: Artifact) -> None:
    assert (made.kind, open_artifact(made.path, "reward").digest) == ("reward", made.digest)
    config = PeftConfig.from_pretrained(str(made.path / "adapter"))
    assert (config.task_type, config.modules_to_save) == ("CAUSAL_LM", None)
    assert not [name for name in load_file(made.path / "adapter" / ADAPTER_WEIGHTS) if "score" in name]
    assert [tuple(weight.shape) for weight in load_file(made.path / HEAD).values()] == [(1, 64)]


def test_scores_on_the_causal_model_are_those_of_the_training(made: Artifact, explained: Path) -> None:
    rows = read_explanations(explained, "validation")
    found = open_reward(made.path)([Explanation(row.query, row.document, row.explanation) for row in rows])
    told = json.loads((made.path / "report.json").read_text("utf-8"))
    pairs = [
        (better, worse)
        for better, one in zip(found, rows, strict=True)
        for worse, other in zip(found, rows, strict=True)
        if (one.query_id, one.doc_id) == (other.query_id, other.doc_id) and one.mark - other.mark > 0.0999  # type: ignore[operator]
    ]
    share = sum(better > worse for better, worse in pairs) / len(pairs)
    assert told["pairs"] == len(pairs)
    assert told["accuracy"]["trained"]["mean"] == pytest.approx(share)


def test_held_out_explanations_of_a_document_are_read_behind_one_beginning(tiny_folder: Path, explained: Path) -> None:
    recipe = recipe_of(tiny_folder, explained)
    train, held_out = compared_rows(recipe, explained)
    data = RewardTrainingData(recipe, find_model(recipe.student), train)
    model = data.model("none")
    read: list[int] = []
    words = model.get_base_model().get_input_embeddings()
    counting = words.register_forward_hook(lambda _, given, __: read.append(given[0].numel()))
    found = data.scores(model, held_out)
    counting.remove()
    pairs = [
        data.encoder.pair(Query(row.query_id, row.query), Document(row.doc_id, row.document), row.explanation)
        for row in held_out
    ]
    assert sum(read) < 0.6 * sum(len(pair.ids) for pair in pairs)
    with reading(model):
        alone = scores(Head(model, data.encoder), pairs).tolist()
    assert [found[key_of(row)] for row in held_out] == pytest.approx(alone, abs=1e-5)


def test_report_and_card_tell_systems_kinds_and_what_was_left_out(made: Artifact) -> None:
    told = json.loads((made.path / "report.json").read_text("utf-8"))
    assert list(told["accuracy"]) == ["trained", "shuffled marks", "untrained", "length alone"]
    assert {kind for kind, found in told["by_kind"].items() if found["left_out"]} == {"minimal_edit"}
    assert told["style"]["teacher_above_student"]["pairs"] == 8
    assert told["accuracy"]["trained"]["low"] <= told["accuracy"]["trained"]["mean"]
    shown = (made.path / "report.html").read_text("utf-8")
    assert "learned to mark explanations from" in shown
    assert f"<strong>{told['accuracy']['trained']['mean']:.3f}</strong>" in shown
    assert f"shuffled marks {told['accuracy']['shuffled marks']['mean']:.3f}" in shown
    watched = watched_page(made.path)
    assert all(
        f">{kind}<" in watched and f">{kind}<" in shown
        for kind in told["by_kind"]
        if not told["by_kind"][kind]["left_out"]
    )
    card = (made.path / "README.md").read_text("utf-8")
    assert "minimal_edit (not trained on)" in card
    assert "explanation_quality" in card
    assert made.manifest["marked_by"] == ["program"]


def test_kinds_that_are_left_out_are_not_learned(tiny_folder: Path, explained: Path) -> None:
    whole, less = (
        reward.compared_rows(recipe_of(tiny_folder, explained, left_out=kinds), explained)[0]
        for kinds in ([], ["minimal_edit"])
    )
    assert len(whole) - len(less) == sum(row.kind == "minimal_edit" for row in whole) > 0


@pytest.mark.parametrize("end_token", [False, True])
def test_a_pair_is_to_lead_by_the_margin_times_the_difference_of_its_marks(
    tiny_folder: Path, tmp_path: Path, end_token: bool
) -> None:
    """Also where rows end with the token that they are padded with, and stock transformers would read another."""
    of_one = explanations_of(judged(queries=1, held_out=0)[0], random.Random(0))[:3]
    rows = [replace(row, mark=mark) for row, mark in zip(of_one, (1.0, 0.75, 0.25), strict=True)]
    reading = READING.model_copy(update={"end_token": end_token})
    given = recipe_of(tiny_folder, tmp_path, margin=4.0, encoding=reading)
    recipe = given.model_copy(update={"trainer": {**given.trainer, "max_steps": 1}})
    data = RewardTrainingData(recipe, find_model(recipe.student), rows)
    assert sorted(each.margin for each in data.preferences) == pytest.approx([1.0, 2.0, 3.0])
    model = data.model("none")
    untrained = data.scores(model, rows)
    best, middle, worst = (untrained[key_of(row)] for row in rows)
    trained = data.train(model, folder=tmp_path / "checkpoints", checkpointing=False)
    pairs = [(best, middle, 1.0), (middle, worst, 2.0), (best, worst, 3.0)]
    wanted = fmean(
        math.log1p(math.exp(margin - (one - other))) + 0.01 * (one + other) ** 2 for one, other, margin in pairs
    )
    losses = [figures["loss"] for figures in trained.history if "loss" in figures]
    assert losses == pytest.approx([wanted], abs=1e-4)


def test_a_forecast_counts_the_control_and_what_is_left_out(tiny_folder: Path, explained: Path) -> None:
    whole, alone, less = (
        " ".join(forecast_reward(recipe_of(tiny_folder, explained, **more)))
        for more in ({}, {"controls": False}, {"controls": False, "left_out": ["padding"]})
    )
    first, second, third = (re.search(r"about (\d+) tokens in (\d+) steps", told) for told in (whole, alone, less))
    assert first and second and third
    assert int(first[2]) == 2 * int(second[2]) == 4
    assert abs(int(first[1]) - 2 * int(second[1])) <= 1
    assert int(third[1]) < int(second[1]), "padded explanations are the longest"
    assert "the control's included" in whole and "control" not in alone
    assert "memory: " in alone


@pytest.mark.parametrize("held_out", ["none", "dropped", "tied"])
def test_without_held_out_marks_a_model_is_made_and_nothing_told_of_how_well_it_marks(
    tiny_folder: Path, explained: Path, tmp_path: Path, held_out: str, caplog: pytest.LogCaptureFixture
) -> None:
    changes: dict[str, Any] = {"dropped": {"mark": None, "dropped": "failed"}, "tied": {"mark": 0.5}}
    rows = [
        replace(row, **changes[held_out]) if row.split == "validation" else row
        for row in read_explanations(explained, "train" if held_out == "none" else None)
    ]
    place = artifact_of(tmp_path / "explained", judged(queries=3, held_out=2), rows)
    with caplog.at_level(logging.WARNING):
        made = reward.run(recipe_of(tiny_folder, place), tmp_path / "reward")
    assert "no two explanations to compare in its validation split" in caplog.text
    assert json.loads((made.path / "report.json").read_text("utf-8"))["accuracy"]["trained"] is None
    assert "None had two explanations to compare" in (made.path / "README.md").read_text("utf-8")
    assert open_reward(made.path)([Explanation("Where?", "A red fox.", "same colour.")])


def test_one_explanation_a_pair_is_refused(tiny_folder: Path, explained: Path, tmp_path: Path) -> None:
    rows = [row for row in read_explanations(explained) if row.writer == "teacher"]
    place = artifact_of(tmp_path / "one", judged(queries=3, held_out=2), rows)
    with pytest.raises(InputError, match=r"one marked explanation for each of 12 judged pairs.*explanations\.samples"):
        reward.run(recipe_of(tiny_folder, place), tmp_path / "reward")
    assert not list(tmp_path.glob(".reward*"))


def test_a_question_of_both_splits_is_refused(tiny_folder: Path, explained: Path, tmp_path: Path) -> None:
    rows = read_explanations(explained)
    (first,) = {row.query_id for row in rows if row.query_id.endswith("train0-0")}
    moved = [
        replace(row, split="validation") if row.query_id == first and row.kind == "template" else row for row in rows
    ]
    place = artifact_of(tmp_path / "both", judged(queries=3, held_out=2), moved)
    with pytest.raises(InputError, match=rf"1 question \({first}\) has explanations of both splits"):
        reward.run(recipe_of(tiny_folder, place), tmp_path / "reward")


def test_a_judge_that_always_ties_is_refused(tiny_folder: Path, explained: Path, tmp_path: Path) -> None:
    rows = [replace(row, mark=0.7, marks=(0.7, 0.7)) for row in read_explanations(explained)]
    place = artifact_of(tmp_path / "tied", judged(queries=3, held_out=2), rows)
    with pytest.raises(InputError, match=r"no two explanations.*0\.1 apart"):
        reward.run(recipe_of(tiny_folder, place), tmp_path / "reward")


def test_judgments_without_explanations_are_refused(tiny_adapter: Path, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no explanations\.parquet"):
        reward.run(recipe_of(tiny_folder, tiny_adapter.parent / "taught"), tmp_path / "reward")
    with pytest.raises(ArtifactError, match="holds adapter"):
        reward.run(recipe_of(tiny_folder, tiny_adapter), tmp_path / "reward")


def test_explanations_that_are_alike_as_far_as_they_are_read_are_no_pair(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = explanations_of(judged(queries=1, held_out=0)[0], random.Random(0))
    padded = [row for row in rows if row.kind in ("honest", "padding")]
    recipe = recipe_of(tiny_folder, tmp_path, encoding=READING.model_copy(update={"max_explanation_tokens": 4}))
    student = find_model(str(tiny_folder))
    with caplog.at_level(logging.WARNING):
        learned = RewardTrainingData(recipe, student, padded).preferences
    assert learned and all(each.chosen != each.rejected for each in learned)
    # The good explanation stands in the padded one's first words.
    assert re.search(r"1 of \d pairs of explanations are alike in their first 4 tokens", caplog.text)
    good = [row for row in padded if row.kind == "padding" or row.writer == "teacher"]
    with pytest.raises(InputError, match=r"differ in their first 4 tokens.*max_explanation_tokens"):
        _ = RewardTrainingData(recipe, student, good).preferences


def test_figures_are_told_without_dropout(tiny_folder: Path, explained: Path, tmp_path: Path) -> None:
    given = recipe_of(tiny_folder, explained)
    more = {"controls": False, "lora": {"rank": 4, "alpha": 64, "dropout": 0.5}}
    trainer = {**given.trainer, "disable_dropout": False, "learning_rate": 0.05, "max_steps": 4}
    place = reward.run(recipe_of(tiny_folder, explained, **more, trainer=trainer), tmp_path / "reward").path
    rows = read_explanations(explained, "validation")
    found = open_reward(place)([Explanation(row.query, row.document, row.explanation) for row in rows])
    scores = {key_of(row): score for row, score in zip(rows, found, strict=True)}
    told = HeldOutScores(rows, least=given.least_difference, longer=True, seed=0).report({"trained": scores}, ())
    wanted = json.loads((place / "report.json").read_text("utf-8"))["calibration"]
    assert told["calibration"] == pytest.approx(wanted, abs=1e-4)


def test_an_adapter_is_no_student_and_its_base_is_named(
    tiny_adapter: Path, tiny_folder: Path, explained: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"student: .* is an adapter, and a reward model.*student=") as told:
        reward.run(recipe_of(tiny_adapter, explained), tmp_path / "reward")
    named = str(told.value).rpartition("student=")[2]
    assert Path(named).resolve() == tiny_folder.resolve()
    with pytest.raises(ArtifactError, match="holds judgments"):
        reward.run(recipe_of(explained, explained), tmp_path / "reward")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("encoding: {}", r"encoding\.max_explanation_tokens: null"),
        ("trainer: {num_generations: 4}", r"trl\.RewardConfig has no such field"),
        ("margins: 1", "did you mean 'margin'"),
        ("left_out: [edits]", r"left_out\.0.*minimal_edit"),
        ("encoding: {max_explanation_tokens: 200}", "leaves no room for a document"),
    ],
)
def test_recipes_that_cannot_be_are_refused(tmp_path: Path, keys: str, said: str) -> None:
    file = tmp_path / "reward.yaml"
    file.write_text(f"stage: reward\nstudent: x\n{keys}\n")
    with pytest.raises(RecipeError, match=said):
        load_recipe(str(file), stage="reward")
