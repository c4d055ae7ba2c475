"""What interank relies on PEFT to do: layers with their bases, weights read and put in place, adapters side by side."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import (
    MODEL_TYPE_TO_PEFT_MODEL_MAPPING,
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    load_peft_weights,
    set_peft_model_state_dict,
)
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from transformers import LlamaConfig, LlamaForCausalLM

from tests.support import stored_completions


def test_an_adapted_layer_has_its_base_layer() -> None:
    model = stored_completions.model()
    adapted = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    assert len(adapted) == 7 * model.config.num_hidden_layers
    assert all(type(layer.get_base_layer()) is torch.nn.Linear for layer in adapted)
    assert adapted[0].lora_bias == {"default": False}
    assert model.peft_config["default"].r == 8
    assert model.active_adapter == "default"
    assert {name.rpartition(".lora_")[2] for name, weight in model.named_parameters() if weight.requires_grad} == {
        "A.default.weight",
        "B.default.weight",
    }


def test_a_lora_layer_is_its_base_and_two_matrices_scaled() -> None:
    layer = next(module for module in stored_completions.model().modules() if isinstance(module, LoraLinear))
    assert layer.active_adapters == ["default"]
    assert not layer.disable_adapters
    assert not layer.merged
    assert "default" not in layer.lora_variant
    states = torch.randn(2, layer.get_base_layer().in_features)
    inner = layer.lora_B["default"](layer.lora_A["default"](states))
    torch.testing.assert_close(layer(states), layer.get_base_layer()(states) + layer.scaling["default"] * inner)


def test_a_layer_that_was_trained_whole_is_wrapped() -> None:
    sizes = {
        "vocab_size": 8,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    base = LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=False))
    config = LoraConfig(r=2, target_modules=["v_proj"], modules_to_save=["lm_head"])
    wrapped = get_peft_model(base, config).get_base_model().lm_head
    assert isinstance(wrapped, ModulesToSaveWrapper)
    assert wrapped.active_adapters == ["default"]
    assert not wrapped.disable_adapters
    assert type(wrapped.modules_to_save["default"]) is torch.nn.Linear
    assert wrapped.original_module is not wrapped.modules_to_save["default"]


def test_weights_that_find_no_place_and_places_that_get_none_are_told(tmp_path: Path) -> None:
    model = stored_completions.model()
    model.save_pretrained(tmp_path, selected_adapters=["default"], save_embedding_layers=False)
    weights = load_peft_weights(str(tmp_path), device="cpu")
    held = get_peft_model_state_dict(model, adapter_name="default", save_embedding_layers=False)
    assert weights.keys() == held.keys()
    told = set_peft_model_state_dict(model, dict(weights), adapter_name="default")
    # The base's own weights are missing; they are not the adapter's.
    assert not [name for name in told.missing_keys if "default" in name]
    first, *_ = sorted(weights)
    weights["base_model.model.unknown.lora_A.weight"] = weights.pop(first)
    told = set_peft_model_state_dict(model, weights, adapter_name="default")
    assert [name for name in told.missing_keys if "default" in name] == [first.replace(".weight", ".default.weight")]
    assert len(told.unexpected_keys) == 1


def test_an_adapter_is_put_on_by_the_class_of_its_task_and_loaded_beside_another(tmp_path: Path) -> None:
    model = stored_completions.model()
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    assert issubclass(MODEL_TYPE_TO_PEFT_MODEL_MAPPING["CAUSAL_LM"], PeftModel)
    config = model.peft_config["default"]
    model.add_adapter("other", config)
    assert {*model.peft_config} == {"default", "other"}
    model.load_adapter(str(tmp_path), "ref", is_trainable=True)
    weights = dict(model.named_parameters())
    loaded = [name for name in weights if ".ref." in name]
    assert loaded
    assert all(torch.equal(weights[name], weights[name.replace(".ref.", ".default.")]) for name in loaded)
    ids = torch.tensor([[1, 2, 3]])
    with model.disable_adapter():
        plain = model(input_ids=ids).logits
    assert not torch.equal(plain, model(input_ids=ids).logits)


def test_an_adapter_is_folded_into_its_base() -> None:
    model, ids = stored_completions.model(), torch.tensor([[1, 2, 3]])
    apart = model(input_ids=ids).logits
    folded = model.merge_and_unload(safe_merge=True)
    assert not isinstance(folded, PeftModel)
    torch.testing.assert_close(folded(input_ids=ids).logits, apart, atol=1e-4, rtol=1e-4)
