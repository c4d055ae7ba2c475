"""A copy of a float32 model whose gated layers compute in bfloat16, and which shares all other weights with it."""

from __future__ import annotations

import copy
from typing import Any

import torch


def rounded(model: Any) -> Any:
    """A Llama-like float32 model with its gated layers copied to bfloat16; all other weights are shared.

    These layers are three quarters of the work; rounding queries and keys moved rankings more than all the rest.
    """
    own = {id(states): states for states in (*model.parameters(), *model.buffers())}
    copied = copy.deepcopy(model, own)
    for layer in copied.model.layers:
        # Copied before it is rounded, because its weights are the original's.
        layer.mlp = copy.deepcopy(layer.mlp).to(torch.bfloat16)
        layer.mlp.register_forward_pre_hook(lambda _, given: (given[0].to(torch.bfloat16),))
        layer.mlp.register_forward_hook(lambda _, __, gives: gives.float())
    return copied
