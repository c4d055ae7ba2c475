"""The estimate of what a forward pass keeps is near what it keeps."""

from __future__ import annotations

import contextlib

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from interank.engines.tree.prefix_tree import plant
from interank.training.memory import Microbatch, fits, form_of, kept_bytes
from interank.training.shared_prefix import let_score_trees

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.mark.parametrize(("hidden", "intermediate", "rank"), [(128, 352, 16), (256, 1024, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_estimate_is_near_what_is_kept(hidden: int, intermediate: int, rank: int, dtype: torch.dtype) -> None:
    base = LlamaForCausalLM._from_config(
        LlamaConfig(
            vocab_size=300,
            hidden_size=hidden,
            intermediate_size=intermediate,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
        ),
        dtype=dtype,
        attn_implementation="sdpa",
    )
    model = get_peft_model(base, LoraConfig(r=rank, target_modules=TARGETS)).train()
    let_score_trees(base, temperature=1.0, cast_lm_head_to_fp32=False)
    prompt = tuple(range(100, 292))
    tree = plant([(prompt, tuple(range(n, n + 48))) for n in range(4)], 48, torch.device("cpu"))
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(states: torch.Tensor) -> torch.Tensor:
        storage = states.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return states

    half = torch.autocast("cpu", torch.bfloat16) if dtype == torch.bfloat16 else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda states: states), half:
        scored = model(prefix_tree=tree)
    found = sum(storage.nbytes() for storage in kept.values())
    assert scored.log_probs.requires_grad
    keys = tree.trunks[0].end + 4 * (tree.trunks[0].end + 48)
    microbatch = Microbatch(tree.ids.numel(), keys, tree.scored.numel())
    if dtype == torch.bfloat16:
        # Autocast's copies of the adapter, which the plan counts with the adapter.
        found -= 2 * sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert kept_bytes(model.config, microbatch, form_of(model)) == pytest.approx(found, rel=0.15)


def test_little_fits_and_more_than_there_is_does_not() -> None:
    model = LlamaForCausalLM(LlamaConfig(vocab_size=30, hidden_size=64, intermediate_size=96, num_hidden_layers=1))
    assert fits(model, Microbatch(100, 100))
    assert not fits(model, Microbatch(10**12, 10**12))
