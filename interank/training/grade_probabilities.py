"""The grades' own probabilities, beside what was sampled, and how far they are from the reference policy's.

Where the grade's token is not sampled TRL's loss does not see it, and its `beta` would not hold it. All that matters of
it is known in closed form: the three labels' probabilities, and what is left for any other token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from interank.training.grade_gradient import GradeLoss

# So much probability at least is taken to be left for other tokens: in float32 the rest of a sum is not told from less.
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Update:
    """How TRL's update is set: its loss, and by what it divides."""

    loss_type: str
    beta: float
    temperature: float
    longest: int
    """Tokens of a completion, at most."""
    accumulated: int
    """Microbatches of an update."""
    generated: int
    """Microbatches of a generation batch."""
    processes: int = 1
    """How many have each a part of the batch, and whose gradients are averaged."""


def distinct_prompts(prompts: torch.Tensor, wanted: torch.Tensor) -> dict[int, list[int]]:
    """The wanted rows of each different prompt, by the first of them; `prompts` is (rows, tokens)."""
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
    """What a microbatch's grades add to TRL's loss: that of the grades, and beta KL(policy || reference).

    Args:
        labels: The log-probabilities of the three grades' tokens at the sampling temperature, among all tokens, of
            shape (prompts, 3).
        prompts: The rows of each prompt, by the first of them.
        batch: The microbatch, with `grade_targets`; `reference_grades` where `beta` holds the grades.
        grade: The grades' loss.
        update: TRL's settings.

    Returns:
        The loss, and figures for the log.
    """
    loss, figures, firsts = labels.new_zeros(()), {}, list(prompts)
    if grade.counts:
        own = {name: batch[name][firsts] for name in ("grade_values", "judged", "query")}
        # The grade is read at temperature 1. What it earns among three says nothing of other tokens, and without the
        # probability of writing any of them these would take its place.
        found = grade(among_grades(labels, update.temperature), own) - labels.logsumexp(-1).mean()
        figures["grade_loss"] = float(found.detach())
        loss = found / update.accumulated
    if "reference_grades" in batch:
        away = divergence(labels, batch["reference_grades"][firsts])
        figures["kl/grade"] = float(away.detach().mean())
        weights = token_weights(batch, update)
        loss = loss + update.beta * (away * torch.stack([weights[rows].sum() for rows in prompts.values()])).sum()
    return loss, figures


def among_grades(labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """Log-probabilities among the three grades, read at temperature 1; `labels` as of `loss_of_grades`."""
    return (labels * temperature).log_softmax(-1)


def divergence(labels: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """KL(policy || reference) over the three grades and any other token, of shape (prompts,); both (prompts, 3)."""
    ours, theirs = _with_others(labels), _with_others(reference)
    return (ours.exp() * (ours - theirs)).sum(-1)


def _with_others(labels: torch.Tensor) -> torch.Tensor:
    some = labels.logsumexp(-1, keepdim=True).clamp(max=-_LEAST)
    return torch.cat([labels, (-torch.expm1(some)).log()], -1)


def token_weights(batch: Mapping[str, Any], update: Update) -> torch.Tensor:
    """By what TRL's loss would multiply the grade's token of each row, were it not left out; of shape (rows,).

    0 for rows without one. So `beta` means the same for it as for the other tokens, and as where it is sampled.

    Args:
        batch: A microbatch; `graded_items` are the generation batch's grades.
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
        # TRL's normaliser: of all the generation batch's tokens the share of one accumulation window.
        whole = (batch["num_items_in_batch"] + batch["graded_items"]).clamp(min=1)
        weights = (update.processes / (whole * steps / update.generated)).expand(rows)
    found: torch.Tensor = weights * graded
    return found
