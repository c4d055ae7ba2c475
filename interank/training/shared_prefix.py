"""A causal language model that can score a whole prefix tree, with TRL's fused head on the completions only."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from interank.engines.layers import allowed
from interank.errors import TrainingError
from interank.training.fused_head import FusedHead
from interank.training.prefix_tree import PrefixTree, attend, refuse_other_attention

log = logging.getLogger(__name__)

# A mask of four dimensions is handed on as it is; attention goes by the tree and looks at none.
_NO_MASK = (1, 1, 1, 1)
_ATTENTION = "interank_shared_prefix"


def shared_prefix_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Transformers' attention interface: along the tree where one is given, else plain sdpa.

    Raises:
        TrainingError: The model's attention is of another kind, or its layers do not hand on what they are given.
    """
    tree: PrefixTree | None = options.pop("prefix_tree", None)
    if tree is None:
        if attention_mask is not None and attention_mask.shape == _NO_MASK and query.shape[2] > 1:
            raise TrainingError(
                f"{type(module).__name__} is not told how its tokens belong together, so prompts cannot be computed "
                "once; set shared_prefix: false"
            )
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return plain
    refuse_other_attention(module, options)
    own = {"dropout_p": options.get("dropout", 0.0), "scale": options.get("scaling")}
    return attend(query, key, value, tree, window=options.get("sliding_window"), **own), None


def plants(model: Any, *, asked: bool) -> bool:
    """Whether a causal language model's prompts are computed as a tree, if that is asked for; says why not."""
    why = allowed(model.config).why
    if asked and why:
        log.info("%s: each text is computed whole, beside the others, since %s", type(model).__name__, why)
    return asked and not why


def let_score_trees(
    model: Any, *, temperature: float, cast_lm_head_to_fp32: bool, exact: Callable[[], Sequence[int]] = tuple
) -> None:
    """Give a causal language model `model(prefix_tree=tree)`, whose log_probs and entropy are of the tree's labels.

    Calls without a tree go on as before. `exact` are as of `FusedHead`.

    Raises:
        TrainingError: The model's attention cannot be replaced.
    """
    AttentionInterface.register(_ATTENTION, shared_prefix_attention)
    AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
    if why := allowed(model.config).why:
        raise TrainingError(f"{type(model).__name__} cannot compute prompts once: {why}; set shared_prefix: false")
    if model.config._attn_implementation != "sdpa" or not model._can_set_attn_implementation():
        raise TrainingError(
            f"{type(model).__name__} runs with {model.config._attn_implementation} attention, sdpa through "
            "transformers' attention interface is expected; set shared_prefix: false"
        )
    model.set_attn_implementation(_ATTENTION)
    head = FusedHead(model, temperature=temperature, cast_lm_head_to_fp32=cast_lm_head_to_fp32, exact=exact)
    original = model.forward

    # The signature stays the model's own: `generate` checks its arguments against it.
    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, prefix_tree: PrefixTree | None = None, **kwargs: Any) -> Any:
        if prefix_tree is None:
            return original(*args, **kwargs)
        backbone = self.base_model(
            input_ids=prefix_tree.ids,
            position_ids=prefix_tree.positions,
            attention_mask=torch.empty(_NO_MASK, device=prefix_tree.ids.device),
            prefix_tree=prefix_tree,
            use_cache=False,
        )
        hidden = backbone.last_hidden_state[:, prefix_tree.scored]
        return head(hidden, prefix_tree.labels[None])

    model.forward = MethodType(forward, model)
