"""What a distilled artifact holds, with plain and with NF4 base weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interank import judging
from interank.artifact import open_artifact
from interank.errors import InputError
from interank.recipe import DistillRecipe, LoraRecipe, PromptSettings, Quantisation
from interank.reranking.reranker import Reranker
from interank.stages import distill
from interank.types import Document, Query
from tests.support import rule
from tests.support.artifacts import judgments_artifact


def recipe_for(judgments: Path, student: Path, quantisation: Quantisation = "none") -> DistillRecipe:
    return DistillRecipe(
        stage="distill",
        judgments=judgments,
        student=str(student),
        quantisation=quantisation,
        prompt=PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60),
        lora=LoraRecipe(rank=4, alpha=8),
        trainer={"max_steps": 2, "per_device_train_batch_size": 4, "save_strategy": "no"},
    )


@pytest.mark.parametrize("quantisation", ["none", "nf4"])
def test_an_adapter_says_all_that_is_needed_to_use_it(
    tiny_folder: Path, tmp_path: Path, quantisation: Quantisation
) -> None:
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=1))
    distill.run(recipe_for(judgments, tiny_folder, quantisation), tmp_path / "adapter")
    artifact = open_artifact(tmp_path / "adapter", "adapter")
    manifest = artifact.manifest
    assert (manifest["base"], manifest["quantisation"]) == (str(tiny_folder), quantisation)
    assert manifest["prompt_hash"] == judging.prompt_hash()
    assert manifest["inputs"]["judgments"]["digest"] == open_artifact(judgments).digest
    assert manifest["counts"]["examples"] == 12
    config = json.loads((artifact.path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["base_model_name_or_path"]) == (4, str(tiny_folder))
    assert len(Reranker.open(artifact.path).rank(Query("q", "Where?"), [Document("d", "A fox.")])) == 1


def test_judgments_of_validation_only_teach_nothing(tiny_folder: Path, tmp_path: Path) -> None:
    examples = rule.examples(0, queries=1, split="validation")
    judgments = judgments_artifact(tmp_path / "judgments", examples)
    with pytest.raises(InputError, match="no judgments of the training split"):
        distill.run(recipe_for(judgments, tiny_folder), tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
