"""Judgments without explanations teach the grade alone, and what learned it so says no more than that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from interank.artifact import Artifact, open_artifact
from interank.errors import InputError
from interank.judgments import by_question, evenly_weighted
from interank.recipe import EvaluateRecipe
from interank.reranking.reranker import Reranker
from interank.settings import LoraRecipe, PromptSettings
from interank.settings.student import MixtureRecipe, ValidationRecipe
from interank.stages import distill, evaluate, merge
from interank.tasks.judge.recipe import DistillJudge
from interank.tasks.judge.rows import training_groups
from interank.types import Example, Judgment
from tests.support import rule, training_data
from tests.support.artifacts import judgments_artifact
from tests.support.benchmark import benchmark_folder


def unexplained(examples: Sequence[Example]) -> list[Example]:
    return [replace(item, judgment=Judgment("", item.judgment.relevance)) for item in examples]


def recipe_for(judgments: Path, student: Path) -> DistillJudge:
    return DistillJudge(
        stage="distill",
        judgments=judgments,
        student=str(student),
        quantisation="none",
        prompt=PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60),
        lora=LoraRecipe(rank=4, alpha=8),
        validation=ValidationRecipe(every=1),
        trainer={"max_steps": 1, "per_device_train_batch_size": 4},
    )


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    train, held = rule.examples(0, queries=2), rule.examples(1, queries=2, split="validation")
    return judgments_artifact(tmp_path_factory.mktemp("labels") / "labels", unexplained([*train, *held]))


@pytest.fixture(scope="module")
def scorer(labels: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return distill.run(recipe_for(labels, tiny_folder), tmp_path_factory.mktemp("scorer") / "scorer")


def test_rows_without_explanation_are_the_grade_once(tiny_folder: Path) -> None:
    encoder = training_data.encoder_of(tiny_folder)
    given = training_data.examples(1)
    mixed = [*unexplained(given[:2]), *given[2:]]
    practised = MixtureRecipe(explain=1.0, reason=1.0, score=1.0)
    groups = training_groups(encoder, by_question(mixed), practised, documents=8, seed=1)
    rows = [row for group in groups for row in group]
    assert [row.task for row in rows] == ["score"] * 2 + ["score", "explain", "reason"] * (len(given) - 2)
    for row, item in zip(rows, given[:2], strict=False):
        # After the words that are forced, the grade's token and nothing else is learned.
        assert row.answer[row.trained_from :] == (encoder.label_ids[item.judgment.relevance],)
    assert [row.listed for row in rows[:2]] == [True, True]


def test_weights_are_even_among_themselves() -> None:
    given = [replace(item, weight=weight) for item, weight in zip(rule.examples(0, queries=1), (1, 3, 8), strict=False)]
    assert [item.weight for item in evenly_weighted(given)] == [0.25, 0.75, 2.0]
    assert {item.weight for item in evenly_weighted([replace(item, weight=0.1) for item in given])} == {1.0}


def test_an_adapter_of_labels_scores_and_refuses_to_explain(
    scorer: Artifact, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = open_artifact(scorer.path, "adapter").manifest
    assert manifest["modes"] == ["score"]
    counts = manifest["counts"]
    assert (counts["examples"], counts["rows_score"], counts["rows_explain"]) == (24, 24, 0)
    documents = ["A red fox sits in the barn.", "A hen."]
    merged = merge.merge(scorer.path, tmp_path / "merged").folder
    for model in (scorer.path, merged, scorer.path / "adapter"):
        ranking = Reranker(model).rank("Where is the red fox?", documents)
        assert [item.relevance is not None and item.explanation is None for item in ranking] == [True, True]
        for mode in ("reason", "explain", "adaptive"):
            with pytest.raises(
                InputError, match=rf"found mode {mode} for .*taught grades without explanations; use mode"
            ):
                Reranker(model, mode=mode)
        with pytest.raises(InputError, match="found explain 1; it was taught grades without explanations"):
            Reranker(model).rank("Where is the red fox?", documents, explain=1)
    assert len(Reranker(scorer.path, mode="adaptive", adaptive={"spend": "none"}).rank("Where?", documents)) == 2
    card = ModelCard.load(scorer.path / "README.md")
    assert "It is score-only" in card.text
    assert "without a teacher, grades by not told; 24 have no explanation and taught the grade alone" in card.text
    assert "`reason`" not in card.text


def test_it_is_evaluated_as_others_are(scorer: Artifact, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    benchmark = benchmark_folder(tmp_path / "b")
    told = {"benchmark": benchmark, "depth": 5, "measures": ("nDCG@10",), "adapters": (scorer.path,)}
    caplog.set_level("INFO", logger="interank")
    made = evaluate.run(EvaluateRecipe(stage="evaluate", explain=3, **told), tmp_path / "e")
    assert made.manifest["counts"]["queries"] == 3
    assert "was taught no explanations, so the report has none of it" in caplog.text
