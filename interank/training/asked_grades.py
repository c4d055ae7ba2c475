"""The grades' own probabilities, beside what was sampled, and how far they are from the reference policy's.

Where the grade's token is not sampled TRL's loss does not see it, and its `beta` would not hold it. All that matters of
it is known in closed form: the three labels' probabilities, and what is left for any other token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from trl.trainer.utils import use_adapter

from interank.training.objective import graded_rows

# So much probability at least is taken to be left for other tokens: in float32 the rest of a sum is not told from less.
_LEAST = 1e-6


@dataclass(slots=True)
class Asked:
    """Prompts that are graded besides; once computed, log-probabilities.

    `rows` are each different prompt's, by the first of them. `labels` are the log-probabilities of the three grades'
    tokens at the sampling temperature, among all tokens, of shape (prompts, 3).
    """

    rows: Mapping[int, list[int]]
    labels: torch.Tensor | None = None

    @property
    def firsts(self) -> list[int]:
        """The first row of each prompt."""
        return list(self.rows)


def distinct_prompts(prompts: torch.Tensor, wanted: torch.Tensor) -> dict[int, list[int]]:
    """The wanted rows of each different prompt, by the first of them; `prompts` is (rows, tokens)."""
    seen: dict[bytes, list[int]] = {}
    for row in wanted.nonzero()[:, 0].tolist():
        seen.setdefault(prompts[row].cpu().numpy().tobytes(), []).append(row)
    return {rows[0]: rows for rows in seen.values()}


def reference_labels(trainer: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """`Asked.labels` by the reference policy, for every row of a batch, (rows, 3); 0 where nothing is graded.

    Args:
        trainer: A `PolicyTrainer`.
        batch: TRL's, with `grade_at`.
    """
    prompts, completions, objective = batch["prompt_ids"], batch["completion_ids"], trainer.objective
    rows = distinct_prompts(prompts, batch["grade_at"] >= 0)
    found = torch.zeros((len(prompts), len(objective.labels)), device=prompts.device)
    if not rows:
        return found
    width = completions.shape[1]
    ids = torch.cat([prompts, completions], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    ids, mask = graded_rows(ids, mask, width, list(rows), objective)
    # As many prompts at a time as in the loss.
    size = len(objective.labels) * max(1, trainer.args.per_device_train_batch_size // trainer.num_generations)
    policy = trainer.accelerator.unwrap_model(trainer.model)
    # As TRL has it: the start's adapter, kept beside the trained one.
    with torch.no_grad(), use_adapter(policy, "ref" if "ref" in policy.peft_config else None):
        read = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, width, batch_size=size)[0]
    for three, own in zip(read[:, len(objective.lead)].view(len(rows), -1), rows.values(), strict=True):
        found[own] = three
    return found


def among_grades(labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """Log-probabilities among the three grades, read at temperature 1; `labels` as of `Asked`."""
    return (labels * temperature).log_softmax(-1)


def divergence(labels: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """KL(policy || reference) over the three grades and any other token, of shape (prompts,); both (prompts, 3)."""
    ours, theirs = _with_others(labels), _with_others(reference)
    return (ours.exp() * (ours - theirs)).sum(-1)


def _with_others(labels: torch.Tensor) -> torch.Tensor:
    some = labels.logsumexp(-1, keepdim=True).clamp(max=-_LEAST)
    return torch.cat([labels, (-torch.expm1(some)).log()], -1)


def token_weights(inputs: Mapping[str, Any], trainer: Any) -> torch.Tensor:
    """By what TRL's loss would multiply the grade's token of each row, were it not left out; of shape (rows,).

    0 for rows without one. So `beta` means the same for it as for the other tokens, and as where it is sampled.

    Args:
        inputs: A microbatch; `graded_items` are the generation batch's grades.
        trainer: A `PolicyTrainer`.
    """
    mask = inputs["completion_mask"] * inputs["tool_mask"]
    at = inputs["grade_at"]
    graded = (at >= 0) & (inputs["completion_mask"].gather(1, at.clamp(min=0)[:, None])[:, 0] > 0)
    items = mask.sum(1) + graded
    steps = trainer.current_gradient_accumulation_steps if trainer.model.training else 1
    rows = len(items)
    if trainer.loss_type in ("grpo", "sapo"):
        weights = 1 / (items.clamp(min=1) * rows * steps)
    elif trainer.loss_type == "bnpo":
        weights = torch.full_like(items, 1 / max(1, int(items.sum())) / steps, dtype=torch.float)
    elif trainer.loss_type == "dr_grpo":
        weights = torch.full_like(items, 1 / (rows * trainer.max_completion_length * steps), dtype=torch.float)
    elif trainer.loss_type == "luspo":
        weights = torch.full_like(items, 1 / (rows * steps), dtype=torch.float)
    else:
        # TRL's normaliser: of all the generation batch's tokens the share of one accumulation window.
        whole = (inputs["num_items_in_batch"] + inputs["graded_items"]).clamp(min=1)
        whole = whole / trainer.accelerator.num_processes * steps / trainer.args.steps_per_generation
        weights = (1 / whole).expand(rows)
    found: torch.Tensor = weights * graded
    return found
