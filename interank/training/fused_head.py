"""TRL's fused head: log-probabilities and entropies of labels from hidden states, without the vocabulary's logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from trl.trainer.utils import add_fused_lm_head


class FusedHead:
    """TRL's fused head of a model, for hidden states that were computed already; the grades' tokens in float32."""

    def __init__(
        self, model: Any, *, temperature: float, cast_lm_head_to_fp32: bool, exact: Callable[[], Sequence[int]] = tuple
    ) -> None:
        """Take a model.

        Args:
            model: A causal language model.
            temperature: By which logits are divided.
            cast_lm_head_to_fp32: Whether the head computes in float32 wherever it is asked.
            exact: Tells the tokens for whose probabilities it always does: grades would tie in bfloat16.
        """
        self._heads = {
            cast: _TrlHead(model, temperature=temperature, cast_lm_head_to_fp32=cast) for cast in (False, True)
        }
        self._cast = cast_lm_head_to_fp32
        self._exact = exact

    def __call__(self, hidden: torch.Tensor, labels: torch.Tensor) -> Any:
        """`log_probs` and `entropy` of the labels, each (1, tokens); hidden states are (1, tokens, width)."""
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        tokens = torch.tensor(self._exact(), dtype=labels.dtype, device=labels.device)
        exact = torch.isin(labels[0], tokens)
        if self._cast or dtype == torch.float32 or not exact.any():
            return self._scored(self._cast, hidden, labels)
        places = [(~exact).nonzero()[:, 0], exact.nonzero()[:, 0]]
        found = [
            self._scored(bool(cast), hidden[:, own], labels[:, own]) for cast, own in enumerate(places) if len(own)
        ]
        order = torch.cat(places).argsort()
        return SimpleNamespace(
            log_probs=torch.cat([part.log_probs for part in found], 1)[:, order],
            entropy=torch.cat([part.entropy for part in found], 1)[:, order],
        )

    def _scored(self, cast: bool, hidden: torch.Tensor, labels: torch.Tensor) -> Any:
        return self._heads[cast].forward(hidden, shift_labels=labels, fused_lm_head=True)


class _TrlHead:
    """What TRL gives its fused head to, in place of a model."""

    def __init__(self, model: Any, *, temperature: float, cast_lm_head_to_fp32: bool) -> None:
        self.config = model.config
        self.get_output_embeddings = model.get_output_embeddings
        add_fused_lm_head(
            self,
            temperature=temperature,
            cast_lm_head_to_fp32=cast_lm_head_to_fp32,
            outputs=("log_probs", "entropy"),
        )

    def base_model(self, hidden: torch.Tensor, **_: Any) -> SimpleNamespace:
        """The hidden states as a backbone's output."""
        return SimpleNamespace(last_hidden_state=hidden)

    def forward(self, hidden: torch.Tensor, **_: Any) -> Any:
        """Replaced by TRL's."""
        raise NotImplementedError
