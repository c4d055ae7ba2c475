"""A judge's score as layers on its last hidden state: the grades' rows of its head, then two softplus units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import softplus

from interank.engines.last_logits import CAP
from interank.errors import ModelError

# The size of a trial batch that shows how a model transforms its head's output.
_ROWS, _TOKENS = 2, 8
_SAME = 1e-4


@dataclass(frozen=True, slots=True)
class GradeHead:
    """The layer from a final hidden state to the three grades' logits, in float32: capped(weight @ state + bias)."""

    weight: torch.Tensor
    """Of shape (3, width), times the factor by which the model multiplies its logits."""
    bias: torch.Tensor | None
    """Of shape (3,)."""
    cap: float | None
    """The bound c of the logits z, which become c tanh(z / c); None if they are unbounded."""

    @property
    def linear(self) -> bool:
        """Whether it is a linear layer without bias or cap."""
        return self.bias is None and self.cap is None

    @property
    def margins(self) -> torch.Tensor:
        """The rows whose products are the logits of grades 2 and 0 minus that of grade 1, of shape (2, width)."""
        return self.weight[[2, 0]] - self.weight[1]


class GradeScore(torch.nn.Module):
    """Maps the grades' logits, of shape (rows, 3), to the score, of shape (rows, 1)."""

    def __init__(self, cap: float | None = None) -> None:
        super().__init__()
        self.cap = cap

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """The score as in `judging.score`: softplus(l2 - l1 + ln 2) - softplus(l0 - l1 + ln 2)."""
        if self.cap is not None:
            logits = self.cap * torch.tanh(logits / self.cap)
        margins = softplus(logits[..., [2, 0]] - logits[..., 1:2] + math.log(2))
        return margins[..., :1] - margins[..., 1:]


@torch.no_grad()
def grade_head(model: Any, labels: Sequence[int]) -> GradeHead:
    """The grades' head of a causal language model in float32, checked against the model's own logits.

    Raises:
        ModelError: The head is no linear layer, or the model does more to its output than scale or cap it.
    """
    head = model.get_output_embeddings()
    columns = list(labels)
    if type(head) is not torch.nn.Linear:
        raise ModelError(
            f"the head of this model is a {type(head).__name__}, where an export needs a linear layer; use the model "
            "in interank"
        )
    seen: list[torch.Tensor] = []
    hook = head.register_forward_hook(lambda _, given, gives: seen.append(given[0]))
    ids = (torch.arange(_ROWS * _TOKENS, device=model.device).reshape(_ROWS, _TOKENS) * 7 + 3) % head.out_features
    try:
        expected = model(input_ids=ids, use_cache=False).logits[..., columns].double().reshape(-1, len(columns))
    finally:
        hook.remove()
    hidden = seen[-1].reshape(-1, seen[-1].shape[-1]).double()
    bias = None if head.bias is None else head.bias[columns].detach()
    own = torch.nn.functional.linear(hidden, head.weight[columns].double(), None if bias is None else bias.double())
    cap = getattr(model.config.get_text_config(), CAP, None)
    scale = 1.0
    if cap is not None:
        own = cap * torch.tanh(own / cap)
    else:
        scale = float((own * expected).sum() / (own * own).sum().clamp(min=1e-30))
        scale = 1.0 if abs(scale - 1) < 1e-6 else scale
    error = float((scale * own - expected).abs().max())
    if not error <= _SAME * max(1.0, float(expected.abs().max())):
        raise ModelError(
            "this model transforms its head's logits in an unknown way, so that its score cannot be exported; use the "
            "model in interank"
        )
    weight = scale * head.weight[columns].detach().float()
    return GradeHead(weight, None if bias is None else scale * bias.float(), cap)
