"""A model's scores of completions: each token's log-probability and the entropy at its position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import compress
from typing import Any

import torch

from interank import distributed
from interank.engines.tree.prefix_tree import plant
from interank.training.padded_rows import pad


@dataclass(frozen=True, slots=True)
class ScoredCompletions:
    """Log-probabilities and entropies of a batch's completions, (rows, tokens); 0 where a completion has no token.

    `labels` are the log-probabilities of the three grades' tokens, of shape (prompts, 3), where they were computed.
    """

    logps: torch.Tensor
    entropies: torch.Tensor | None
    aux_loss: torch.Tensor | None = None
    labels: torch.Tensor | None = None

    def with_idle_filled(
        self, idle: torch.Tensor, entropy: torch.Tensor, old: torch.Tensor | None
    ) -> ScoredCompletions:
        """The same with neutral figures for rows that were not computed.

        Args:
            idle: True for the rows that were not computed, of shape (rows,).
            entropy: The entropy to put for their tokens.
            old: The log-probabilities at sampling time, if they are kept.
        """
        skipped, entropies = idle[:, None], self.entropies
        if entropies is not None:
            entropies = entropies.masked_fill(skipped, entropy)
        # Gives a ratio of 1; a log-probability of 0 would count as a probability of 1.
        logps = self.logps if old is None else torch.where(skipped, old, self.logps)
        return ScoredCompletions(logps, entropies, self.aux_loss, self.labels)

    def with_labels_apart(self, rows: int, place: int, labels: int) -> ScoredCompletions:
        """The first `rows` rows, with the log-probabilities at `place` of the rows after them as `labels`."""
        entropies = None if self.entropies is None else self.entropies[:rows]
        apart = self.logps[rows:, place].view(-1, labels) if len(self.logps) > rows else None
        return ScoredCompletions(self.logps[:rows], entropies, self.aux_loss, apart)


def prompts_and_completions(batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, int]:
    """TRL's batch as ids and mask of whole rows, and the width of the completions in tokens."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    return ids, mask, batch["completion_ids"].shape[1]


def score(
    model: Any, input_ids: torch.Tensor, mask: torch.Tensor, width: int, *, planted: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies of the last `width` tokens; with `planted` shared prefixes are computed once.

    Args:
        model: A model prepared by `let_score_trees` or `let_score_rows`.
        input_ids: Of shape (rows, tokens), prompts padded on the left and completions on the right.
        mask: 1 for tokens; a row without any in its completion is not computed.
        width: Tokens of the longest completion.
        planted: Whether the rows are laid out as a prefix tree.
    """
    rows = []
    for ids, real in zip(input_ids.tolist(), mask.bool().tolist(), strict=True):
        prompt, completion = (
            tuple(compress(ids[part], real[part])) for part in (slice(None, -width), slice(-width, None))
        )
        rows.append((prompt, completion))
    if not any(completion for _, completion in rows) and distributed.world() > 1:
        # The other processes wait for this one's gradients, which have to pass through the model's wrapper.
        stub = (plant if planted else pad)([((0,), (0,))], 1, input_ids.device)
        scored = model(**{"prefix_tree" if planted else "padded_rows": stub})
        nothing = torch.zeros((len(rows), width), device=input_ids.device)
        return nothing + 0.0 * scored.log_probs.sum(), nothing
    if not any(completion for _, completion in rows):
        nothing = torch.zeros((len(rows), width), device=input_ids.device)
        # Connected to every weight, so that backward and the optimizer see gradients of zero.
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        return nothing + sum(weight.flatten()[:0].sum() for weight in weights), nothing
    batch = (plant if planted else pad)(rows, width, input_ids.device)
    scored = model(**{"prefix_tree" if planted else "padded_rows": batch})
    absent = batch.predictions < 0
    logps, entropies = (
        values[0][batch.predictions.clamp(min=0)].masked_fill(absent, 0.0)
        for values in (scored.log_probs, scored.entropy)
    )
    return logps, entropies


def idle(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """True for completions without an advantage at any token, of shape (completions,)."""
    advantages = batch["advantages"]
    without: torch.Tensor = (advantages.view(len(advantages), -1) == 0).all(1)
    return without
