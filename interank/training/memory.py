"""Whether what a microbatch leaves for its backward pass fits into memory, or has to be computed again there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import torch

from interank import distributed

Form = Literal["float32", "bfloat16", "nf4"]
"""A training's number format: plain float32; bfloat16 weights with float32 adapters under autocast; NF4 weights, whose
adapters TRL keeps in bfloat16."""


@dataclass(frozen=True, slots=True)
class _Bytes:
    """What a Llama's layer with LoRA on all its linear layers keeps for each token, by what is so wide.

    Counted from what the real loss leaves (`tests/training/test_planning.py`): norms keep their input in float32, and
    an adapter in float32 a copy of its own of what it reads.
    """

    hidden: int
    intermediate: int
    query: int
    """By all query heads together: rotated queries and what attention gives."""
    number: int
    """Of one number; keys and values are kept for each path that they stand on."""


_KEPT: dict[Form, _Bytes] = {
    "float32": _Bytes(hidden=16, intermediate=16, query=12, number=4),
    "bfloat16": _Bytes(hidden=18, intermediate=8, query=6, number=2),
    "nf4": _Bytes(hidden=12, intermediate=8, query=6, number=2),
}
# The rest is for the weights, their gradients and states, the rollouts' cache and the logits.
_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Microbatch:
    """What is computed together, as far as memory goes."""

    tokens: int
    """That go through the layers: what rows share counts once."""
    keys: int
    """That attention lays out: for each piece of a tree its whole path."""
    scored: int = 0
    """Tokens of the vocabulary whose probabilities are asked."""


def kept_bytes(config: Any, microbatch: Microbatch, form: Form) -> int:
    """About how many bytes a forward pass over a microbatch keeps for the backward pass."""
    config, kept = config.get_text_config(), _KEPT[form]
    intermediate = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    width = kept.hidden * config.hidden_size + kept.intermediate * intermediate + kept.query * heads * size
    keys = 2 * (getattr(config, "num_key_value_heads", None) or heads) * size * kept.number
    return int(config.num_hidden_layers * (width * microbatch.tokens + keys * microbatch.keys))


def form_of(model: Any) -> Form:
    """The number format of a loaded model's training."""
    if getattr(model, "is_loaded_in_4bit", False):
        return "nf4"
    return "float32" if model.dtype == torch.float32 else "bfloat16"


def fits(model: Any, microbatch: Microbatch) -> bool:
    """Whether that is at most half of the device's memory; not of what is free now, so that a resumed run agrees."""
    return kept_bytes(model.config, microbatch, form_of(model)) <= _SHARE * device_bytes(model.device)


def device_bytes(device: torch.device) -> int:
    """The device's memory, or the share of it that this process may have."""
    if device.type == "cuda":
        share = torch.cuda.get_per_process_memory_fraction(device)
        return int(share * torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // distributed.local_world()
