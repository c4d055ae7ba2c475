"""Truncated importance sampling: what a sampler's own log-probabilities are for, since it is not quite the trainer.

A token that another program sampled with q(token) has the gradient of the trainer's policy p in expectation when it is
weighted by p / q; cut at a bound, the weight cannot blow up. TRL has this for its own vLLM, from a pass of its own.
"""

from __future__ import annotations

import math
from typing import Any

import torch


def weighed(
    inputs: dict[str, Any], logps: torch.Tensor, clip: float | None, loss_type: str
) -> tuple[dict[str, Any], dict[str, float]]:
    """The batch that TRL is to compute the loss of, with each token's weight in it.

    Every loss but VESPO's is proportional to the advantage, so it is the advantage that is weighted; TRL takes one a
    token. VESPO multiplies the weights over the completion itself.

    Args:
        inputs: TRL's batch, left as it is; `advantages` of shape (rows,) or (rows, tokens) become (rows, tokens).
        logps: The trainer's log-probabilities, of shape (rows, tokens), without gradient.
        clip: The largest weight; None weighs nothing.
        loss_type: TRL's.

    Returns:
        The batch, and for the log how far the sampler was off and the mean weight, where the sampler told anything.
    """
    sampled = inputs.get("sampling_per_token_logps")
    if sampled is None:
        return inputs, {}
    # Where the weights have moved since sampling, those at that time are the ones to compare.
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
    """How far the sampler's log-probabilities lie from these, in nats, on average; None where it told none."""
    known = _known(inputs)
    return float((logps - inputs["sampling_per_token_logps"]).abs()[known].mean()) if known.any() else None


def _known(inputs: dict[str, Any]) -> torch.Tensor:
    """Tokens that were sampled and whose log-probability the sampler told; the others hold NaN."""
    known: torch.Tensor = inputs["completion_mask"].bool() & ~inputs["sampling_per_token_logps"].isnan()
    return known
