"""Lets a causal language model score a whole prefix tree, with TRL's fused head on the completions only."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

from interank.engines.layers import allowed
from interank.engines.tree.attention import hidden_states, let_follow_trees
from interank.engines.tree.prefix_tree import PrefixTree
from interank.training.fused_head import FusedHead

log = logging.getLogger(__name__)


def plants(model: Any, *, wanted: bool) -> bool:
    """Whether the model computes texts as a prefix tree: if `wanted`, and its layers allow it; the log says why not."""
    why = allowed(model.config).why
    if wanted and why:
        log.info("%s: texts do not share the computation of prefixes, since %s", type(model).__name__, why)
    return wanted and not why


def let_score_trees(
    model: Any, *, temperature: float, cast_lm_head_to_fp32: bool, exact: Callable[[], Sequence[int]] = tuple
) -> None:
    """Have `model(prefix_tree=tree)` return log_probs and entropy of the tree's labels.

    Other calls of the causal language model do not change. `exact` is that of `FusedHead`.

    Raises:
        TrainingError: The model's attention cannot be replaced.
    """
    let_follow_trees(model)
    head = FusedHead(model, temperature=temperature, cast_lm_head_to_fp32=cast_lm_head_to_fp32, exact=exact)
    original = model.forward

    # The signature stays the model's own: `generate` checks its arguments against it.
    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, prefix_tree: PrefixTree | None = None, **kwargs: Any) -> Any:
        if prefix_tree is None:
            return original(*args, **kwargs)
        return head(hidden_states(self, prefix_tree)[:, prefix_tree.scored], prefix_tree.labels[None])

    model.forward = MethodType(forward, model)
