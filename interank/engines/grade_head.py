"""A judge's score as layers on its last hidden state: the grades' rows of its head, and two units behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import softplus

from interank.engines.last_logits import CAP
from interank.errors import ModelError

# Ids by which it is found out what a model does with its head's product; any will do.
_ROWS, _TOKENS = 2, 8
_SAME = 1e-4


@dataclass(frozen=True, slots=True)
class GradeHead:
    """What gives the three grades' logits of a final hidden state, in float32: capped(weight @ state + bias)."""

    weight: torch.Tensor
    """Of shape (3, width), with what the model multiplies its logits by."""
    bias: torch.Tensor | None
    """Of shape (3,)."""
    cap: float | None
    """What the logits stay below by a hyperbolic tangent."""

    @property
    def linear(self) -> bool:
        """Whether a layer without a bias holds all of it."""
        return self.bias is None and self.cap is None

    @property
    def margins(self) -> torch.Tensor:
        """The rows whose products are by how much grades 2 and 0 lie above grade 1, of shape (2, width)."""
        return self.weight[[2, 0]] - self.weight[1]


class GradeScore(torch.nn.Module):
    """Grades' logits to the score, of shapes (rows, 3) and (rows, 1)."""

    def __init__(self, cap: float | None = None) -> None:
        super().__init__()
        self.cap = cap

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """The score as `judging.score` has it: softplus(l2 - l1 + ln 2) - softplus(l0 - l1 + ln 2)."""
        if self.cap is not None:
            logits = self.cap * torch.tanh(logits / self.cap)
        margins = softplus(logits[..., [2, 0]] - logits[..., 1:2] + math.log(2))
        return margins[..., :1] - margins[..., 1:]


@torch.no_grad()
def grade_head(model: Any, labels: Sequence[int]) -> GradeHead:
    """Read the grades' head off a causal language model in float32, and see that it gives the model's own logits.

    Raises:
        ModelError: It is no linear layer, or the model does something else with its product than to scale or cap it.
    """
    head = model.get_output_embeddings()
    columns = list(labels)
    if type(head) is not torch.nn.Linear:
        raise ModelError(
            f"the head of this model is a {type(head).__name__}, where a linear layer is needed that other tools can "
            "hold; use the model here"
        )
    seen: list[torch.Tensor] = []
    hook = head.register_forward_hook(lambda _, given, gives: seen.append(given[0]))
    ids = (torch.arange(_ROWS * _TOKENS, device=model.device).reshape(_ROWS, _TOKENS) * 7 + 3) % head.out_features
    try:
        told = model(input_ids=ids, use_cache=False).logits[..., columns].double().reshape(-1, len(columns))
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
        scale = float((own * told).sum() / (own * own).sum().clamp(min=1e-30))
        scale = 1.0 if abs(scale - 1) < 1e-6 else scale
    left = float((scale * own - told).abs().max())
    if not left <= _SAME * max(1.0, float(told.abs().max())):
        raise ModelError(
            "this model changes its head's logits in a way that is not known, so that its score has no form in other "
            "tools; use the model here"
        )
    weight = scale * head.weight[columns].detach().float()
    return GradeHead(weight, None if bias is None else scale * bias.float(), cap)
