"""TRL's fused head: log-probabilities and entropies of labels from hidden states, without the vocabulary's logits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import MethodType, SimpleNamespace
from typing import Any

import torch
from trl.trainer.utils import add_fused_lm_head


class FusedHead:
    """TRL's fused head of a model, applied to given hidden states; the grades' tokens are computed in float32."""

    def __init__(
        self, model: Any, *, temperature: float, cast_lm_head_to_fp32: bool, exact: Callable[[], Sequence[int]] = tuple
    ) -> None:
        """Take a model.

        Args:
            model: A causal language model.
            temperature: The divisor of logits.
            cast_lm_head_to_fp32: Whether the head computes all tokens in float32.
            exact: Returns the tokens that are always computed in float32: grades would tie in bfloat16.
        """
        self._heads = {
            cast: _TrlHead(model, temperature=temperature, cast_lm_head_to_fp32=cast) for cast in (False, True)
        }
        self._cast = cast_lm_head_to_fp32
        self._exact = exact

    def __call__(self, hidden: torch.Tensor, labels: torch.Tensor) -> Any:
        """`log_probs` and `entropy` of the labels, each (1, tokens); hidden states are (1, tokens, width)."""
        exact = _among(labels[0], self._exact())
        if self._cast or not _rounds(hidden) or not exact.any():
            return self._scored(self._cast, hidden, labels)
        places = [(~exact).nonzero()[:, 0], exact.nonzero()[:, 0]]
        parts = [
            self._scored(bool(cast), hidden[:, own], labels[:, own]) for cast, own in enumerate(places) if len(own)
        ]
        order = torch.cat(places).argsort()
        return SimpleNamespace(
            log_probs=torch.cat([part.log_probs for part in parts], 1)[:, order],
            entropy=torch.cat([part.entropy for part in parts], 1)[:, order],
        )

    def _scored(self, cast: bool, hidden: torch.Tensor, labels: torch.Tensor) -> Any:
        return self._heads[cast].forward(hidden, shift_labels=labels, fused_lm_head=True)


def let_read_exactly(model: Any, *, temperature: float, exact: Callable[[], Sequence[int]]) -> None:
    """Make TRL's fused head of a causal language model score some tokens in float32.

    Args:
        model: A model after TRL's `add_fused_lm_head`.
        temperature: The divisor of logits.
        exact: Returns the tokens; see `FusedHead`.
    """
    head = _TrlHead(model, temperature=temperature, cast_lm_head_to_fp32=True)
    original = model.forward

    # The signature stays the model's own: `generate` checks its arguments against it.
    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not kwargs.get("fused_lm_head"):
            return original(*args, **kwargs)
        seen: list[torch.Tensor] = []
        hook = self.base_model.register_forward_hook(lambda _, __, gives: seen.append(gives.last_hidden_state))
        try:
            output = original(*args, **kwargs)
        finally:
            hook.remove()
        hidden, labels = seen[-1][:, :-1], kwargs["labels"][:, 1:]
        chosen = _among(labels, exact())
        if _rounds(hidden) and chosen.any():
            exactly = head.forward(hidden[chosen][None], shift_labels=labels[chosen][None], fused_lm_head=True)
            output.log_probs = output.log_probs.float().masked_scatter(chosen, exactly.log_probs)
            output.entropy = output.entropy.float().masked_scatter(chosen, exactly.entropy)
        return output

    model.forward = MethodType(forward, model)


def _among(labels: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    """True where a label is one of the tokens, of the labels' shape."""
    return torch.isin(labels, torch.tensor(tokens, dtype=labels.dtype, device=labels.device))


def _rounds(hidden: torch.Tensor) -> bool:
    """Whether a head would compute with these states in less than float32."""
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    return dtype != torch.float32


class _TrlHead:
    """Stands in for the model to which TRL adds its fused head."""

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
        """Replaced by TRL's fused head."""
        raise NotImplementedError
