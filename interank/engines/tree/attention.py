"""Attention along a prefix tree in transformers' own models: one call a layer, or one for each piece of the tree."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from interank.engines.layers import allowed
from interank.engines.tree.flex import TreeForward, attend_at_once, followed
from interank.engines.tree.pieces import Store
from interank.engines.tree.prefix_tree import ROOT, Leaves, PrefixTree, Trunk
from interank.errors import TrainingError

# transformers passes on a mask of four dimensions as it is; attention along a tree ignores it.
_NO_MASK = (1, 1, 1, 1)
# The most queries of one call on a CPU, where attention computes even what a mask hides.
_QUERIES = 128
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
        TrainingError: The model's attention is of another kind, or its layers do not pass on their keyword arguments.
    """
    tree: TreeForward | None = options.pop("tree", None)
    store: Store | None = options.pop("store", None)
    if tree is None:
        if attention_mask is not None and attention_mask.shape == _NO_MASK and query.shape[2] > 1:
            raise TrainingError(
                f"{type(module).__name__} does not get the tree of its tokens, so shared prefixes cannot be computed "
                "once; set shared_prefix: false"
            )
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return plain
    refuse_other_attention(module, options)
    if attention_mask is not None and attention_mask.shape != _NO_MASK:
        raise TrainingError(
            f"{type(module).__name__} makes its own attention mask, which trees do not allow; set shared_prefix: false"
        )
    window, dropout, scale = options.get("sliding_window"), options.get("dropout", 0.0), options.get("scaling")
    layer: Any = module.layer_idx
    before = store.before(layer) if store is not None else None
    # FlexAttention has no dropout.
    if tree.at_once and not dropout:
        output = attend_at_once(query, key, value, tree.mask(window), scale, before)
    else:
        output = attend(query, key, value, tree.tree, before=before, window=window, dropout_p=dropout, scale=scale)
    if store is not None:
        store.take(layer, key, value)
    return output, None


def let_follow_trees(model: Any) -> None:
    """Enable a causal language model to compute trees (`hidden_states`); calls without a tree work as before.

    Raises:
        TrainingError: The model's attention cannot be replaced.
    """
    if model.config._attn_implementation == _ATTENTION:
        return
    AttentionInterface.register(_ATTENTION, shared_prefix_attention)
    AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
    if why := allowed(model.config).why:
        raise TrainingError(
            f"{type(model).__name__} cannot compute shared prefixes once: {why}; set shared_prefix: false"
        )
    if model.config._attn_implementation != "sdpa" or not model._can_set_attn_implementation():
        raise TrainingError(
            f"{type(model).__name__} runs with {model.config._attn_implementation} attention, where sdpa through "
            "transformers' attention interface is expected; set shared_prefix: false"
        )
    model.set_attn_implementation(_ATTENTION)
    for module in model.modules():
        # Layers that an adapter copied have a configuration of their own.
        if hasattr(module, "layer_idx") and hasattr(module, "config"):
            module.config._attn_implementation = _ATTENTION


def follows(model: Any) -> bool:
    """Whether a causal language model's attention can follow trees, and its layers pass on keyword arguments."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = base.config._attn_implementation in ("sdpa", _ATTENTION)
    return bool(known and allowed(base.config).tree and base.is_backend_compatible())


def inputs(model: Any, tree: PrefixTree) -> dict[str, Any]:
    """The keyword arguments with which a causal language model, or its backbone, computes a tree."""
    return {
        "input_ids": tree.ids,
        "position_ids": tree.positions,
        "attention_mask": torch.empty(_NO_MASK, device=tree.ids.device),
        "tree": followed(model, tree),
        "use_cache": False,
    }


def hidden_states(model: Any, tree: PrefixTree) -> torch.Tensor:
    """The last layer's output for every token of the tree, of shape (1, tokens, width)."""
    states: torch.Tensor = model.base_model(**inputs(model, tree)).last_hidden_state
    return states


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    tree: PrefixTree,
    *,
    before: tuple[torch.Tensor, torch.Tensor] | None = None,
    window: int | None = None,
    **options: Any,
) -> torch.Tensor:
    """Attention of every token to its path in the tree.

    Args:
        query: Of shape (1, heads, tokens, size).
        key: Of shape (1, key heads, tokens, size).
        value: Of the same shape.
        tree: The tree of the tokens.
        before: Keys and values of the path read before the row; trunks under `ROOT` follow its first `after` places.
        window: How many tokens each token attends to, itself included; None for all.
        options: Of `scaled_dot_product_attention`.

    Returns:
        Of shape (1, tokens, heads, size).
    """
    # One split, not a slice for each piece: each slice has a gradient as large as the row, the split only one.
    segments: list[Trunk | Leaves] = sorted((*tree.trunks, *tree.leaves), key=attrgetter("start"))
    sizes = [segment.end - segment.start for segment in segments]
    pieces = zip(*(torch.split(states, sizes, 2) for states in (query, key, value)), strict=True)
    read = before or (key[:, :, :0], value[:, :, :0])
    # Only trunks with successors keep their path, to save memory: a piece of many short texts has many trunks.
    continued = {segment.parent for segment in segments}
    paths: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    trunks = 0
    parts = []
    for segment, (own, own_key, own_value) in zip(segments, pieces, strict=True):
        after = segment.after if isinstance(segment, Trunk) else 0
        path = paths[segment.parent] if segment.parent != ROOT else (read[0][:, :, :after], read[1][:, :, :after])
        if isinstance(segment, Trunk):
            keys, values = torch.cat([path[0], own_key], 2), torch.cat([path[1], own_value], 2)
            # Trunks are numbered in the order of the row.
            if trunks in continued:
                paths[trunks] = keys, values
            trunks += 1
            parts.append(_causal(own, keys, values, window, options)[0])
        else:
            parts.append(_leaves(segment, path, (own, own_key, own_value), window, options))
    return torch.cat(parts)[None]


def _leaves(
    leaves: Leaves,
    before: tuple[torch.Tensor, torch.Tensor],
    piece: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    window: int | None,
    options: dict[str, Any],
) -> torch.Tensor:
    """Attention of a prompt's completions to their path, padded to one length; (tokens, heads, size)."""
    number, places = len(leaves.padded), leaves.padded - leaves.start
    own, *ours = (states[0, :, places].transpose(0, 1) for states in piece)
    keys, values = (
        torch.cat([path.expand(number, -1, -1, -1), states], 2) for path, states in zip(before, ours, strict=True)
    )
    flat = _causal(own, keys, values, window, options).flatten(0, 1)
    return flat if leaves.real is None else flat[leaves.real]


def _causal(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int | None, options: dict[str, Any]
) -> torch.Tensor:
    """Causal attention of the tokens of `query`, which are the last ones of `key`; (batch, tokens, heads, size)."""
    width = query.shape[2]
    if query.device.type == "cpu" and width > _QUERIES and not torch.is_grad_enabled():
        # Each block leaves out what none of its queries sees.
        ends = [*range(_QUERIES, width, _QUERIES), width]
        before = key.shape[2] - width
        blocks = [
            _causal(own, key[:, :, : before + end], value[:, :, : before + end], window, options)
            for own, end in zip(torch.split(query, _QUERIES, 2), ends, strict=True)
        ]
        return torch.cat(blocks, 1)
    if window is not None and window < key.shape[2]:
        # Tokens before the first query's window are in no other query's window.
        key, value = key[:, :, -(width + window - 1) :], value[:, :, -(width + window - 1) :]
        before = key.shape[2] - width
        places = (
            torch.arange(key.shape[2], device=key.device) - before - torch.arange(width, device=key.device)[:, None]
        )
        options = {**options, "attn_mask": (places <= 0) & (places > -window)}
    elif width == key.shape[2]:
        options = {**options, "is_causal": True}
    else:
        options = {**options, "attn_mask": causal_lower_right(width, key.shape[2])}
    grouped = query.shape[1] != key.shape[1]
    attended = scaled_dot_product_attention(query, key, value, enable_gqa=grouped, **options)
    return attended.transpose(1, 2)


def refuse_other_attention(module: Any, options: dict[str, Any]) -> None:
    """Refuse a model whose attention is not plain causal attention over all tokens or over a window.

    Raises:
        TrainingError: The message names what the model's attention uses besides.
    """
    unsupported = [name for name in ("softcap", "s_aux", "position_bias") if options.get(name) is not None]
    if not getattr(module, "is_causal", True):
        unsupported.append("later tokens")
    kinds = getattr(module.config, "layer_types", None)
    if kinds:
        windowed = kinds[module.layer_idx] == "sliding_attention"
    else:
        windowed = getattr(module.config, "sliding_window", None) is not None
    if windowed and options.get("sliding_window") is None:
        unsupported.append("a window that it does not pass on")
    if unsupported:
        raise TrainingError(
            f"this model's attention uses {', '.join(unsupported)}, with which shared prefixes cannot be computed "
            "once; set shared_prefix: false"
        )
