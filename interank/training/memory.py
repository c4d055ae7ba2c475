"""Whether what a microbatch leaves for its backward pass fits into memory, or has to be computed again there."""

from __future__ import annotations

import os
from typing import Any

import torch

# Numbers kept a token and layer of a Llama with LoRA on all its linear layers, in hidden and intermediate sizes. At
# ranks 16 and 64, in float32 and under bfloat16, 0.67 to 0.95 of this was seen.
_HIDDEN, _INTERMEDIATE = 14, 6
# The rest is for the weights, their gradients and states, the rollouts' cache and the logits.
_SHARE = 0.5


def kept_bytes(model: Any, tokens: int) -> int:
    """About how many bytes a forward pass over so many tokens keeps for the backward pass; rather too many."""
    config = model.config.get_text_config()
    intermediate = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    numbers = _HIDDEN * config.hidden_size + _INTERMEDIATE * intermediate
    return int(numbers * config.num_hidden_layers * tokens * model.dtype.itemsize)


def fits(model: Any, tokens: int) -> bool:
    """Whether that is at most half of the device's memory; not of what is free now, so that a resumed run agrees."""
    return kept_bytes(model, tokens) <= _SHARE * device_bytes(model.device)


def device_bytes(device: torch.device) -> int:
    """The device's memory, or the share of it that this process may have."""
    if device.type == "cuda":
        share = torch.cuda.get_per_process_memory_fraction(device)
        return int(share * torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
