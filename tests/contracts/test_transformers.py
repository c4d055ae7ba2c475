"""What interank relies on transformers to do, in its trainer, its attention and its caches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache, LlamaForCausalLM
from transformers.masking_utils import sdpa_mask

from tests.contracts.parts import TRAINER_ATTRIBUTES
from tests.support import stored_completions


def base() -> LlamaForCausalLM:
    return stored_completions.model().get_base_model()


@pytest.fixture
def trainer(tmp_path: Path) -> transformers.Trainer:
    model = torch.nn.Linear(2, 1)
    data = [{"x": torch.ones(2), "labels": torch.ones(1)}] * 4

    class Trainer(transformers.Trainer):  # type: ignore[misc]  # transformers is untyped here
        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> torch.Tensor:
            loss: torch.Tensor = (model(inputs["x"]) - inputs["labels"]).square().mean()
            return loss

    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, report_to="none", max_steps=1, remove_unused_columns=False
    )
    return Trainer(model=model, args=arguments, train_dataset=data)


def test_a_checkpoint_is_written_and_read_by_the_trainers_own(trainer: transformers.Trainer, tmp_path: Path) -> None:
    trainer.train()
    assert not [name for name in TRAINER_ATTRIBUTES if not hasattr(trainer, name)]
    trainer._save_checkpoint(trainer.model, trial=None)
    checkpoint = tmp_path / "checkpoint-1"
    # What a training that goes on from a stop is told by.
    state = transformers.TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    assert state.global_step == state.max_steps == 1
    assert state.stateful_callbacks["TrainerControl"]["args"]["should_training_stop"] is True
    kept = trainer.model.weight.detach().clone()
    for load in (lambda: trainer._load_from_checkpoint(str(checkpoint)), trainer._load_best_model):
        trainer.state.best_model_checkpoint = str(checkpoint)
        trainer.model.weight.data.zero_()
        load()
        assert torch.equal(trainer.model.weight, kept)


def test_microbatches_of_a_step_come_with_a_count(trainer: transformers.Trainer) -> None:
    batches, _ = trainer.get_batch_samples(iter([{"labels": torch.ones(1)}] * 3), 2, torch.device("cpu"))
    assert len(batches) == 2


def test_a_trainer_takes_one_device_where_it_is_told(trainer: transformers.Trainer) -> None:
    trainer.args._n_gpu = 1
    assert trainer.args.n_gpu == 1


def test_attention_is_handed_what_the_backbone_is_and_the_mask_as_it_is() -> None:
    model, seen = base(), []

    def attention(module: Any, query: torch.Tensor, *_: Any, **options: Any) -> tuple[torch.Tensor, None]:
        seen.append((options["marker"], _[2].shape, options["scaling"], module.layer_idx))
        return query.transpose(1, 2), None

    AttentionInterface.register("contract", attention)
    AttentionMaskInterface.register("contract", sdpa_mask)
    assert model.config._attn_implementation == "sdpa"
    assert model._can_set_attn_implementation()
    model.set_attn_implementation("contract")
    marker = object()
    ids = torch.tensor([[1, 2, 3]])
    found = model.base_model(
        input_ids=ids,
        position_ids=torch.arange(3)[None],
        attention_mask=torch.empty(1, 1, 1, 1),
        marker=marker,
        use_cache=False,
    )
    assert found.last_hidden_state.shape == (1, 3, model.config.hidden_size)
    assert [(one[0], one[1], one[3]) for one in seen] == [(marker, (1, 1, 1, 1), layer) for layer in range(3)]
    assert seen[0][2] == pytest.approx((model.config.hidden_size // model.config.num_attention_heads) ** -0.5)


def test_a_cache_holds_keys_and_values_layer_by_layer() -> None:
    model = base()
    cache = DynamicCache(config=model.config)
    model(input_ids=torch.tensor([[1, 2, 3], [4, 5, 6]]), past_key_values=cache, use_cache=True, logits_to_keep=1)
    assert len(cache.layers) == model.config.num_hidden_layers
    [layer, *_] = cache.layers
    size = model.config.hidden_size // model.config.num_attention_heads
    assert layer.keys.shape == layer.values.shape == (2, model.config.num_key_value_heads, 3, size)
    first = layer.keys[0].clone()
    cache.reorder_cache(torch.tensor([0, 0, 1]))
    assert cache.layers[0].keys.shape[0] == 3
    assert torch.equal(cache.layers[0].keys[1], first)


def test_what_a_cache_was_given_can_be_written_over() -> None:
    cache = DynamicCache(config=base().config)
    assert not cache.layers[0].is_initialized
    cache.update(torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 3, 4), 0)
    assert cache.layers[0].is_initialized
    cache.layers[0].keys[1, :, 2] = 5.0
    keys, _ = cache.update(torch.ones(2, 1, 1, 4), torch.ones(2, 1, 1, 4), 0)
    assert keys[1, 0, :, 0].tolist() == [0.0, 0.0, 5.0, 1.0]


def test_models_say_whether_their_layers_hand_on_what_attention_is_told() -> None:
    assert LlamaForCausalLM.is_backend_compatible() is True
    assert transformers.StableLmForCausalLM.is_backend_compatible() is False


@pytest.mark.parametrize("family", ["Llama", "Mistral", "Qwen2", "Qwen3"])
def test_a_dense_decoders_modules_are_called(family: str) -> None:
    sizes = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    config = getattr(transformers, f"{family}Config")(**sizes, **heads)
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    [layer] = model.model.layers
    linear = [getattr(layer.self_attn, f"{name}_proj") for name in "qkvo"]
    linear += [getattr(layer.mlp, f"{name}_proj") for name in ("gate", "up", "down")]
    assert {type(module) for module in linear} == {torch.nn.Linear}
    norms = [layer.input_layernorm, layer.post_attention_layernorm, model.model.norm]
    assert all(module.variance_epsilon > 0 for module in norms)
    assert layer.self_attn.scaling == pytest.approx(layer.self_attn.head_dim**-0.5)
    cos, sin = model.model.rotary_emb(torch.ones(1, 3, 8), torch.arange(3)[None])
    assert cos.shape == sin.shape == (1, 3, layer.self_attn.head_dim)


def test_models_that_hand_on_a_state_say_so() -> None:
    assert transformers.MODEL_FOR_CAUSAL_LM_MAPPING[transformers.MambaConfig]._is_stateful is True
    assert LlamaForCausalLM._is_stateful is False
