"""Adapters: what is trained on a base is trained whole, whatever the base was used for meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from interank.engines.adapters import with_adapter
from interank.engines.models import find_model, load_model
from interank.errors import TrainingError
from interank.settings import LoraRecipe
from interank.training.adapters import adapted_names, fresh_adapter, save_adapter
from tests.support.families import family_model

IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.mark.parametrize("further", [False, True])
def test_a_pass_for_use_leaves_the_gradients_of_a_4_bit_base(tiny_folder: Path, tmp_path: Path, further: bool) -> None:
    model = adapted(tiny_folder)
    if further:
        save_adapter(model, tmp_path, tokenizer=NoTokenizer(), base=str(tiny_folder))
        model = with_adapter(base(tiny_folder), tmp_path, trainable=True)
    before = gradients(model)
    with torch.no_grad():
        model.eval()(IDS)
    after = gradients(model)
    assert set(after) == set(before)
    # The first layer's are those that pass through all the others.
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert any(".0." in name and bool(value.any()) for name, value in before.items())


class NoTokenizer:
    """Stands where one is saved beside the adapter."""

    def save_pretrained(self, folder: Path) -> None:
        """Nothing to save."""


def base(folder: Path) -> PreTrainedModel:
    return load_model(find_model(str(folder)), quantisation="nf4")


def adapted(folder: Path) -> PeftModel:
    return fresh_adapter(base(folder), LoraRecipe(rank=4, alpha=8, dropout=0.0), seed=0)


def gradients(model: PeftModel) -> dict[str, torch.Tensor]:
    """Those of the adapter's weights."""
    model.train()
    model.zero_grad()
    model(IDS).logits.square().sum().backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_every_linear_layer_but_the_head_gets_an_adapter_unless_some_are_named(tmp_path: Path) -> None:
    model = family_model("lfm2", 300)
    assert adapted_names(model, LoraRecipe()) == sorted(
        ["q_proj", "k_proj", "v_proj", "out_proj", "in_proj", "w1", "w2", "w3"]
    )
    assert adapted_names(model, LoraRecipe(targets=("w1", "in_proj"))) == ["w1", "in_proj"]
    with pytest.raises(TrainingError, match=r"lora\.targets: .*gate_proj and o_proj.*in_proj, k_proj"):
        fresh_adapter(model, LoraRecipe(targets=("q_proj", "o_proj", "gate_proj")), seed=0)
