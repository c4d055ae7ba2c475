"""Truncated importance sampling, which corrects for a sampler whose probabilities differ slightly from the trainer's.

A token sampled with probability q has the gradient of the trainer's policy p in expectation when it is weighted by
p / q; an upper bound keeps the weight from exploding. TRL does this for its own vLLM, with a forward pass of its own.
"""

from __future__ import annotations

import math
from typing import Any

import torch


def weighed(
    inputs: dict[str, Any], logps: torch.Tensor, clip: float | None, loss_type: str
) -> tuple[dict[str, Any], dict[str, float]]:
    """The batch for TRL's loss with each token's weight.

    Every loss but VESPO's is proportional to the advantage, so the advantages are weighted; TRL takes one a token.
    VESPO multiplies the weights over the completion itself.

    Args:
        inputs: TRL's batch, not changed; `advantages` of shape (rows,) or (rows, tokens) become (rows, tokens).
        logps: The trainer's log-probabilities, of shape (rows, tokens), without gradient.
        clip: The largest weight; None leaves tokens unweighted.
        loss_type: TRL's name of the loss.

    Returns:
        The batch, and for the log the mean difference from the sampler and the mean weight, where the sampler returned
        log-probabilities.
    """
    sampled = inputs.get("sampling_per_token_logps")
    if sampled is None:
        return inputs, {}
    # Where the policy has changed since sampling, its log-probabilities at that time are compared.
    old = inputs.get("old_per_token_logps")
    ours = logps if old is None else old
    known = _known(inputs)
    weight = (ours - sampled).exp().clamp(max=math.inf if clip is None else clip).masked_fill(~known, 1.0)
    advantages = inputs["advantages"].view(len(weight), -1)
    if clip is not None and loss_type == "vespo":
        inputs = {**inputs, "importance_sampling_ratio": weight}
    elif clip is not None:
        inputs = {**inputs, "advantages": advantages * weight}
    # Rows without an advantage may have been left uncomputed.
    counted = known & (advantages != 0)
    if not counted.any():
        return inputs, {}
    off = float((ours - sampled).abs()[counted].mean())
    return inputs, {"sampling/difference": off, "sampling/weight": float(weight[counted].mean())}


def difference(inputs: dict[str, Any], logps: torch.Tensor) -> float | None:
    """The mean difference of the sampler's log-probabilities from these, in nats; None where it returned none."""
    known = _known(inputs)
    return float((logps - inputs["sampling_per_token_logps"]).abs()[known].mean()) if known.any() else None


def _known(inputs: dict[str, Any]) -> torch.Tensor:
    """True for sampled tokens whose log-probability the sampler returned; the others hold NaN."""
    known: torch.Tensor = inputs["completion_mask"].bool() & ~inputs["sampling_per_token_logps"].isnan()
    return known
