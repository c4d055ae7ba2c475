"""Tiny random models of the families that people bring, of transformers' own classes, saved as a hub ships them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from interank.engines.layers import allowed
from tests.support import tiny

# Windows are shorter than any prompt.
WINDOW = 24
_LLAMA_3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
# A model type of transformers, and what sets the family apart.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama 3": ("llama", {"rope_parameters": _LLAMA_3_ROPE}),
    "qwen3": ("qwen3", {"head_dim": 24}),
    "smollm3": ("smollm3", {"no_rope_layer_interval": 2}),
    "mistral": ("mistral", {"sliding_window": WINDOW}),
    "gemma3": (
        "gemma3_text",
        {
            "head_dim": 24,
            "query_pre_attn_scalar": 24,
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
            "final_logit_softcapping": 30.0,
        },
    ),
    "gemma2": (
        "gemma2",
        {
            "head_dim": 24,
            "query_pre_attn_scalar": 24,
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
            # Low enough to be felt.
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 30.0,
        },
    ),
    "qwen3.5": (
        "qwen3_5_text",
        {
            "head_dim": 24,
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"],
        },
    ),
    "lfm2": (
        "lfm2",
        {
            "block_auto_adjust_ff_dim": False,
            "layer_types": ["conv", "conv", "full_attention", "conv"],
        },
    ),
}
_SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}


def family_model(family: str, vocabulary: int, **special: Any) -> Any:
    """A random model in float32 whose weights are strong enough for a mistake to be seen."""
    kind, own = FAMILIES[family]
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**_SHAPE, "vocab_size": vocabulary, **own, **special})
    attention = allowed(config).attention
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation=attention).eval()
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.1
    return model


def family_folder(folder: Path, family: str, **special: Any) -> Path:
    """The same with the tiny tokenizer, in a folder."""
    tokenizer = tiny.tiny_tokenizer()
    family_model(family, len(tokenizer), **special).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
