"""A model's logits at chosen positions, the labels' computed in float32: in bfloat16 many grades would tie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from peft.utils import ModulesToSaveWrapper
from torch.nn.functional import linear

# The key of Gemma's configurations for the cap of the head's logits.
CAP = "final_logit_softcapping"


def last_logits(model: Any, index: Any, labels: Sequence[int] = (), **inputs: Any) -> torch.Tensor:
    """Run a causal language model.

    Args:
        model: With or without an adapter.
        index: Selects logits by an index into (rows, positions kept).
        labels: Tokens whose logits are the product of the final hidden state and their rows of the head in float32.
            If the head is no linear layer, or the model transforms its logits in an unknown way, they are as the model
            computes them.
        inputs: The model's inputs.

    Returns:
        The vocabulary's logits in float32, of shape (selected, vocabulary).
    """
    if not labels or model.dtype == torch.float32:
        selected: torch.Tensor = model(**inputs).logits[index].float()
        return selected
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    head = model.get_output_embeddings()
    hook = head.register_forward_hook(lambda _, given, gives: seen.append((given[0], gives)))
    try:
        logits = model(**inputs).logits[index]
    finally:
        hook.remove()
    selected, columns = logits.float(), list(labels)
    hidden, raw = (states[index] for states in seen[-1])
    exact, cap = head_rows(head, hidden, columns), getattr(model.config.get_text_config(), CAP, None)
    if exact is not None and cap is not None:
        selected[:, columns] = cap * torch.tanh(exact / cap)
    elif exact is not None and torch.equal(raw[:, columns].float(), selected[:, columns]):
        selected[:, columns] = exact
    return selected


def head_rows(head: Any, hidden: torch.Tensor, columns: Sequence[int]) -> torch.Tensor | None:
    """Chosen outputs of a model's head in float32, with its active adapters; None if the head is of another kind.

    Args:
        head: The module that gives the vocabulary's logits.
        hidden: Final hidden states, of shape (rows, width).
        columns: The indices of the outputs.
    """
    if isinstance(head, ModulesToSaveWrapper):
        names = [] if head.disable_adapters else head.active_adapters
        head = head.modules_to_save[names[0]] if names else head.original_module
    plain = head.get_base_layer() if isinstance(head, LoraLinear) else head
    if type(plain) is not torch.nn.Linear:
        return None
    with torch.autocast(hidden.device.type, enabled=False):
        states, chosen = hidden.float(), list(columns)
        outputs = _rows(plain, states, chosen)
        if plain is head or head.disable_adapters or head.merged:
            return outputs
        for name in head.active_adapters:
            if name in head.lora_variant:
                return None
            if name in head.lora_A:
                inner = linear(states, head.lora_A[name].weight.float())
                outputs = outputs + head.scaling[name] * _rows(head.lora_B[name], inner, chosen)
    return outputs


def _rows(layer: torch.nn.Linear, states: torch.Tensor, chosen: list[int]) -> torch.Tensor:
    bias = None if layer.bias is None else layer.bias[chosen].float()
    return linear(states, layer.weight[chosen].float(), bias)
