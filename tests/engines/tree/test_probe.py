"""Models whose layers do not compute a tree are found out before they rank, and read in another way."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from interank.engines.alignment import AlignedRunner
from interank.engines.budget import Budget
from interank.engines.prompts import Prompt
from interank.engines.protocol import Sampling
from interank.engines.transformers import TransformersEngine
from interank.engines.tree.probe import tree_runner
from interank.engines.tree.runner import TreeRunner
from tests.support.families import FAMILIES, family_model

VOCABULARY, LABELS = 300, (40, 41, 42)
_SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "attn_implementation": "sdpa",
}
_LATENT: dict[str, Any] = {
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "first_k_dense_replace": 1,
    "n_shared_experts": 1,
}
# What each does that no tree does: latent keys, nothing handed on, attention twice, its own mask, an untold window.
OTHERS: dict[str, dict[str, Any]] = {
    "deepseek_v3": _LATENT,
    "nemotron": {},
    "diffllama": {},
    "doge": {},
    "phimoe": {"sliding_window": 16, "num_key_value_heads": 2},
}


def model_of(kind: str) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**_SHAPE, **OTHERS[kind]})).eval()
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.1
    return model


@pytest.mark.parametrize("kind", OTHERS)
def test_what_computes_no_tree_is_read_otherwise_and_right(kind: str) -> None:
    model, rng = model_of(kind), random.Random(0)

    def ids(number: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, VOCABULARY) for _ in range(number))

    shared = ids(50)
    prompts = [*(Prompt(shared, ids(length), ids(3)) for length in (0, 9, 40)), Prompt(shared[:40], ids(5), ())]
    engine = TransformersEngine(model, budget=Budget(40, 2**28))
    assert isinstance(engine._reader, AlignedRunner)
    graded = engine.label_logits(prompts, LABELS)
    written = engine.generate(prompts, Sampling(3), end=-1)
    for prompt, found, completion in zip(prompts, graded, written, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([(*prompt.ids, *completion.ids)])).logits[0, len(prompt.ids) - 1 : -1]
        expected = logits[0, list(LABELS)]
        assert float((torch.tensor(found.logits) - expected).abs().max() / logits[0].abs().max()) < 1e-5
        assert completion.ids == tuple(logits.argmax(-1).tolist())


@pytest.mark.parametrize("family", ["smollm3", "gemma3", "mistral"])
def test_the_trial_finds_nothing_wrong_with_what_is_known(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interank.engines.tree.probe._KNOWN", frozenset())
    assert FAMILIES[family]
    assert isinstance(tree_runner(family_model(family, VOCABULARY)), TreeRunner)


def test_a_model_that_is_trained_is_tried_without_dropout_and_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interank.engines.tree.probe._KNOWN", frozenset())
    adapter = LoraConfig(
        r=4, lora_alpha=64, lora_dropout=0.5, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"
    )
    model = get_peft_model(family_model("smollm3", VOCABULARY), adapter)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    before = torch.get_rng_state()
    engine = TransformersEngine(model.train())
    assert isinstance(engine._reader, TreeRunner)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
