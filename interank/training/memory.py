"""Estimates the activations of a microbatch, to decide whether they fit into memory or are recomputed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import torch

from interank import distributed

Form = Literal["float32", "bfloat16", "nf4"]
"""A training's number format: all in float32; bfloat16 weights with float32 adapters under autocast; NF4 weights with
adapters in bfloat16, as TRL keeps them."""


@dataclass(frozen=True, slots=True)
class _Bytes:
    """The bytes a token that a Llama layer, with LoRA on all its linear layers, keeps for the backward pass.

    Each figure is multiplied by the width it is named for. They were counted from the real loss
    (`tests/training/test_planning.py`): norms keep their input in float32, and an adapter in float32 keeps its own copy
    of its input.
    """

    hidden: int
    intermediate: int
    query: int
    """The width is that of all query heads together: rotated queries and attention's output."""
    number: int
    """The bytes of a number of keys and values, which are kept once for each path that they are on."""


_KEPT: dict[Form, _Bytes] = {
    "float32": _Bytes(hidden=16, intermediate=16, query=12, number=4),
    "bfloat16": _Bytes(hidden=18, intermediate=8, query=6, number=2),
    "nf4": _Bytes(hidden=12, intermediate=8, query=6, number=2),
}
# The share of memory for activations; the rest is for weights, gradients, optimizer states, rollouts' cache and logits.
_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Microbatch:
    """The sizes of a microbatch that set its memory."""

    tokens: int
    """The tokens that go through the layers; shared prefixes count once."""
    keys: int
    """The keys that attention lays out: for each piece of a tree its whole path."""
    scored: int = 0
    """The tokens whose probabilities are computed."""


def kept_bytes(config: Any, microbatch: Microbatch, form: Form) -> int:
    """An estimate of the bytes that a forward pass over a microbatch keeps for the backward pass."""
    config, each = config.get_text_config(), _KEPT[form]
    intermediate = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    width = each.hidden * config.hidden_size + each.intermediate * intermediate + each.query * heads * size
    keys = 2 * (getattr(config, "num_key_value_heads", None) or heads) * size * each.number
    return int(config.num_hidden_layers * (width * microbatch.tokens + keys * microbatch.keys))


def form_of(model: Any) -> Form:
    """The number format of a loaded model's training."""
    if getattr(model, "is_loaded_in_4bit", False):
        return "nf4"
    return "float32" if model.dtype == torch.float32 else "bfloat16"


def fits(model: Any, microbatch: Microbatch) -> bool:
    """Whether the activations take at most half of the device's memory.

    The free memory plays no part, so that a resumed run decides the same.
    """
    return kept_bytes(model.config, microbatch, form_of(model)) <= _SHARE * device_bytes(model.device)


def device_bytes(device: torch.device) -> int:
    """The memory of the device, or this process's share of it."""
    if device.type == "cuda":
        share = torch.cuda.get_per_process_memory_fraction(device)
        return int(share * torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // distributed.local_world()
