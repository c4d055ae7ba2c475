"""The families that people bring: what each one's layers allow, and that it is computed as transformers computes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from interank.engines.models import find_model, load_model
from interank.errors import ModelError
from interank.recipe import DistillRecipe
from interank.reranking.reranker import Reranker
from interank.stages import distill
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.families import family_folder


@pytest.mark.parametrize(("family", "kind"), [("qwen3.5", "linear_attention"), ("lfm2", "conv")])
def test_layers_that_hand_on_a_state_are_refused_before_anything_is_loaded(
    tmp_path: Path, family: str, kind: str
) -> None:
    folder = family_folder(tmp_path / "model", family)
    # Without its weights nothing can be loaded.
    (folder / "model.safetensors").unlink()
    said = f"model has layers of the kind {kind} .config.layer_types.*use another model"
    with pytest.raises(ModelError, match=said):
        load_model(find_model(str(folder)))
    with pytest.raises(ModelError, match=said):
        Reranker.open(folder)
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=1))
    recipe = DistillRecipe(stage="distill", judgments=judgments, student=str(folder))
    with pytest.raises(ModelError, match=said):
        distill.run(recipe, tmp_path / "adapter")


def test_a_state_without_layer_types_is_refused_too(tmp_path: Path) -> None:
    from transformers import RwkvConfig

    RwkvConfig(num_hidden_layers=2).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="rwkv.*hands a state from token to token"):
        load_model(find_model(str(tmp_path)))
