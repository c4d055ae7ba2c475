"""Rows padded to one length, for models whose layers cannot follow a prefix tree: the same figures at a higher cost.

Padding is on the right, where no token attends to it or follows a state that it changed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from interank.engines.tree.prefix_tree import Ids
from interank.training.fused_head import FusedHead


@dataclass(frozen=True, slots=True)
class PaddedRows:
    """A batch of (prompt, answer) rows; `scored`, `labels` and `predictions` mean the same as in a `PrefixTree`.

    `ids` and `mask` are (rows with an answer, longest); `scored` has positions in them, flattened row by row.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    scored: torch.Tensor
    labels: torch.Tensor
    predictions: torch.Tensor


def pad(rows: Sequence[tuple[Ids, Ids]], width: int, device: torch.device) -> PaddedRows:
    """Pad the rows; the position before each answer token is scored. A row without an answer is left out."""
    run = [number for number, (_, answer) in enumerate(rows) if answer]
    whole = [torch.tensor((*rows[number][0], *rows[number][1])) for number in run]
    longest = max(map(len, whole))
    predictions = torch.full((len(rows), width), -1)
    scored: list[int] = []
    for place, number in enumerate(run):
        prompt, answer = rows[number]
        predictions[number, : len(answer)] = torch.arange(len(scored), len(scored) + len(answer))
        first = place * longest + len(prompt) - 1
        scored += range(first, first + len(answer))
    labels = [index for _, answer in rows for index in answer]
    return PaddedRows(
        ids=pad_sequence(whole, batch_first=True).to(device),
        mask=pad_sequence([torch.ones_like(ids) for ids in whole], batch_first=True).to(device),
        scored=torch.tensor(scored, device=device, dtype=torch.long),
        labels=torch.tensor(labels, device=device, dtype=torch.long),
        predictions=predictions.to(device),
    )


def let_score_rows(
    model: Any,
    *,
    temperature: float = 1.0,
    cast_lm_head_to_fp32: bool = False,
    exact: Callable[[], Sequence[int]] = tuple,
) -> None:
    """Have `model(padded_rows=rows)` return log_probs and entropy of the rows' labels.

    Other calls of the causal language model do not change. `exact` is that of `FusedHead`.
    """
    head = FusedHead(model, temperature=temperature, cast_lm_head_to_fp32=cast_lm_head_to_fp32, exact=exact)
    original = model.forward

    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, padded_rows: PaddedRows | None = None, **kwargs: Any) -> Any:
        if padded_rows is None:
            return original(*args, **kwargs)
        backbone = self.base_model(input_ids=padded_rows.ids, attention_mask=padded_rows.mask, use_cache=False)
        hidden = backbone.last_hidden_state.flatten(0, 1)[padded_rows.scored]
        return head(hidden[None], padded_rows.labels[None])

    model.forward = MethodType(forward, model)
