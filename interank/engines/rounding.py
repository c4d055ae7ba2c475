"""A model whose gated layers compute in bfloat16 and all else in float32, beside the one that it is made of."""

from __future__ import annotations

import copy
from typing import Any

import torch


def rounded(model: Any) -> Any:
    """A model of Llama's make in float32, copies of its gated layers in bfloat16; all else is the given one's own.

    They are three quarters of the work; rounding queries and keys moved rankings more than rounding all the rest.
    """
    own = {id(states): states for states in (*model.parameters(), *model.buffers())}
    found = copy.deepcopy(model, own)
    for layer in found.model.layers:
        # Deep copied before it is rounded, because it has the given one's weights.
        layer.mlp = copy.deepcopy(layer.mlp).to(torch.bfloat16)
        layer.mlp.register_forward_pre_hook(lambda _, given: (given[0].to(torch.bfloat16),))
        layer.mlp.register_forward_hook(lambda _, __, gives: gives.float())
    return found
