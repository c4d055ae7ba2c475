"""The grades' terms of the policy's loss: their own loss, and their KL divergence from the reference policy.

TRL's loss does not include a grade's token that is not sampled, nor would its `beta` regularise it. Both terms have a
closed form in the three labels' probabilities and the probability left for other tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from interank.training.grade_gradient import GradeLoss

# The least probability of other tokens, as the rounding of float32 hides smaller ones.
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Update:
    """TRL's settings of an update: its loss, and the numbers by which it divides."""

    loss_type: str
    beta: float
    temperature: float
    longest: int
    """The most tokens of a completion."""
    accumulated: int
    """The microbatches of an update."""
    generated: int
    """The microbatches of a generation batch."""
    processes: int = 1
    """The processes that share the batch, whose gradients are averaged."""


def distinct_prompts(prompts: torch.Tensor, wanted: torch.Tensor) -> dict[int, list[int]]:
    """The wanted rows of each distinct prompt, by the first of these rows; `prompts` is (rows, tokens)."""
    seen: dict[bytes, list[int]] = {}
    for row in wanted.nonzero()[:, 0].tolist():
        seen.setdefault(prompts[row].cpu().numpy().tobytes(), []).append(row)
    return {rows[0]: rows for rows in seen.values()}


def loss_of_grades(
    labels: torch.Tensor,
    prompts: Mapping[int, list[int]],
    batch: Mapping[str, torch.Tensor],
    grade: GradeLoss,
    update: Update,
) -> tuple[torch.Tensor, dict[str, float]]:
    """The terms that a microbatch's grades add to TRL's loss: the grades' loss, and beta KL(policy || reference).

    Args:
        labels: The log-probabilities of the three grades' tokens at the sampling temperature, among all tokens, of
            shape (prompts, 3).
        prompts: The rows of each prompt, by the first of these rows.
        batch: The microbatch, with `grade_targets`; with `reference_grades` where `beta` regularises the grades.
        grade: The grades' loss.
        update: TRL's settings.

    Returns:
        The loss, and figures for the log.
    """
    loss, figures, firsts = labels.new_zeros(()), {}, list(prompts)
    if grade.counts:
        own = {name: batch[name][firsts] for name in ("grade_values", "judged", "query")}
        # The grade is read at temperature 1. The loss among the three grades does not see other tokens, so their
        # total probability is kept high by a term of its own; without it other tokens would take their place.
        graded = grade(among_grades(labels, update.temperature), own) - labels.logsumexp(-1).mean()
        figures["grade_loss"] = float(graded.detach())
        loss = graded / update.accumulated
    if "reference_grades" in batch:
        kl = divergence(labels, batch["reference_grades"][firsts])
        figures["kl/grade"] = float(kl.detach().mean())
        weights = token_weights(batch, update)
        loss = loss + update.beta * (kl * torch.stack([weights[rows].sum() for rows in prompts.values()])).sum()
    return loss, figures


def among_grades(labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """Log-probabilities among the three grades at temperature 1; `labels` are those of `loss_of_grades`."""
    return (labels * temperature).log_softmax(-1)


def divergence(labels: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """KL(policy || reference) over the three grades and any other token, of shape (prompts,); both (prompts, 3)."""
    ours, theirs = _with_others(labels), _with_others(reference)
    return (ours.exp() * (ours - theirs)).sum(-1)


def _with_others(labels: torch.Tensor) -> torch.Tensor:
    some = labels.logsumexp(-1, keepdim=True).clamp(max=-_LEAST)
    return torch.cat([labels, (-torch.expm1(some)).log()], -1)


def token_weights(batch: Mapping[str, Any], update: Update) -> torch.Tensor:
    """The weight that TRL's loss would give the grade's token of each row, were it sampled; of shape (rows,).

    0 for rows without a grade. With it `beta` means the same for the grade as for the other tokens.

    Args:
        batch: A microbatch; `graded_items` is the number of grades in the generation batch.
        update: TRL's settings.
    """
    mask = batch["completion_mask"] * batch["tool_mask"]
    at = batch["grade_at"]
    graded = (at >= 0) & (batch["completion_mask"].gather(1, at.clamp(min=0)[:, None])[:, 0] > 0)
    items = mask.sum(1) + graded
    rows, steps = len(items), update.accumulated
    if update.loss_type in ("grpo", "sapo"):
        weights = 1 / (items.clamp(min=1) * rows * steps)
    elif update.loss_type == "bnpo":
        weights = torch.full_like(items, 1 / max(1, int(items.sum())) / steps, dtype=torch.float)
    elif update.loss_type == "dr_grpo":
        weights = torch.full_like(items, 1 / (rows * update.longest * steps), dtype=torch.float)
    elif update.loss_type == "luspo":
        weights = torch.full_like(items, 1 / (rows * steps), dtype=torch.float)
    else:
        # TRL's normaliser: the share of one accumulation window in the generation batch's tokens.
        whole = (batch["num_items_in_batch"] + batch["graded_items"]).clamp(min=1)
        weights = (update.processes / (whole * steps / update.generated)).expand(rows)
    of_grades: torch.Tensor = weights * graded
    return of_grades
