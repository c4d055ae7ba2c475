"""Attention along a tree as one call of FlexAttention, and whether it runs here."""

from __future__ import annotations

import functools
import importlib.util
import logging
import subprocess
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.nn.functional import pad, scaled_dot_product_attention

from interank.engines.tree.intervals import block_mask
from interank.engines.tree.pieces import TextTree
from interank.engines.tree.prefix_tree import PrefixTree

log = logging.getLogger(__name__)

# The lowest compute capability on which torch tests FlexAttention, and the smallest head that its kernels take.
_CAPABILITY, _LEAST_SIZE = (8, 0), 16
# The most compiled kernels, as many as dynamo allows: one for each bucket of lengths, window and kind of gradient.
_COMPILED = 256
# The tolerated relative distance from plain attention: bfloat16 gives 0.004, a fault more than 0.5.
_NEAR = 0.03


@dataclass(frozen=True, slots=True)
class TreeForward:
    """A tree in one forward pass; its masks, one for each window, are made when a layer first asks."""

    tree: PrefixTree
    at_once: bool
    """Whether a layer is one call of FlexAttention."""
    _masks: dict[int | None, BlockMask] = field(default_factory=dict)

    def mask(self, window: int | None) -> BlockMask:
        """The mask for a window of so many tokens; None for all."""
        if window not in self._masks:
            self._masks[window] = block_mask(self.tree, window)
        return self._masks[window]


@dataclass(frozen=True, slots=True)
class Heads:
    """The attention heads for which kernels are compiled."""

    queries: int
    keys: int
    size: int
    dtype: torch.dtype

    @classmethod
    def of(cls, model: Any) -> Heads:
        """The heads of a causal language model, with the type that it computes in now."""
        config, kind = model.config.get_text_config(), model.device.type
        queries = config.num_attention_heads
        return cls(
            queries,
            getattr(config, "num_key_value_heads", None) or queries,
            getattr(config, "head_dim", None) or config.hidden_size // queries,
            torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.dtype,
        )


def followed(model: Any, tree: PrefixTree) -> TreeForward:
    """The tree with the way in which this model's layers compute it on its device."""
    device = tree.ids.device
    why = why_not(device, Heads.of(model))
    # On a CPU FlexAttention lacks only gradients, which ranking does not need, so there is nothing to log.
    if torch.is_grad_enabled() or device.type != "cpu":
        _tell(device, why)
    return TreeForward(tree, not why)


@functools.cache
def why_not(device: torch.device, heads: Heads) -> str:
    """Why a layer's attention cannot be one call, in words; empty if it can."""
    return _lacking(device, heads) or _failing(device, heads)


@functools.cache
def _tell(device: torch.device, why: str) -> None:
    """Log how attention is computed, once a process."""
    if why:
        log.info("attention along shared prefixes: a call for each piece of the tree, since %s", why)
    else:
        log.info("attention along shared prefixes: one call of FlexAttention a layer")


def attend_at_once(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: BlockMask,
    scale: float | None,
    before: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """As `attend`, with a tree's mask in place of the tree; of shape (1, tokens, heads, size)."""
    kind, tokens = query.device.type, query.shape[2]
    # Cast under autocast, as scaled_dot_product_attention does by itself.
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
    length, seen = mask.seq_lengths
    if before is not None:
        key, value = (
            torch.cat([pad(path.to(dtype), (0, 0, 0, seen - length - path.shape[2])), own.to(dtype)], 2)
            for path, own in zip(before, (key, value), strict=True)
        )
    # Contiguous also without padding, so that no kernel is compiled for another layout.
    states = [pad(item.to(dtype), (0, 0, 0, length - tokens)).contiguous() for item in (query, key, value)]
    grouped = query.shape[1] != key.shape[1]
    attention = _compiled() if kind == "cuda" else flex_attention
    # Set at each call, since dynamo's settings belong to a thread.
    with torch._dynamo.config.patch(recompile_limit=max(torch._dynamo.config.recompile_limit, _COMPILED)):
        output: torch.Tensor = attention(*states, block_mask=mask, scale=scale, enable_gqa=grouped)
    return output[:, :, :tokens].transpose(1, 2)


@functools.cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=False, fullgraph=True)


def _lacking(device: torch.device, heads: Heads) -> str:
    if device.type != "cuda":
        return f"FlexAttention computes no gradients on {device.type}"
    if (capability := torch.cuda.get_device_capability(device)) < _CAPABILITY:
        return f"the GPU's compute capability is {capability[0]}.{capability[1]}, and FlexAttention takes 8.0 or more"
    if importlib.util.find_spec("triton") is None:
        return "triton, by which FlexAttention is compiled, is not installed"
    if heads.size < _LEAST_SIZE:
        return f"heads of {heads.size} numbers are smaller than FlexAttention's {_LEAST_SIZE}"
    return ""


def _failing(device: torch.device, heads: Heads) -> str:
    """Why FlexAttention fails on a small tree: it does not compile, or its results are wrong; empty if it works."""
    try:
        error = _error(device, heads)
    except torch.OutOfMemoryError:
        raise
    # triton raises errors of several kinds if it finds no compiler, or may not write.
    except (RuntimeError, OSError, subprocess.SubprocessError) as fault:
        return f"FlexAttention could not be compiled ({type(fault).__name__}: {' '.join(str(fault).split())[:200]})"
    return "" if error < _NEAR else f"FlexAttention's results are off by {error:.3g} here"


def _error(device: torch.device, heads: Heads) -> float:
    """The largest relative distance of FlexAttention from plain attention on a small tree.

    It compares outputs and gradients of the tree in one piece, as in training, and outputs of the tree in two pieces.
    """
    planted = TextTree((1,) * 100 + (n,) * 120 for n in range(2))
    (whole,) = planted.pieces(1000, device)
    tokens = whole.tree.ids.shape[1]
    generator = torch.Generator(device).manual_seed(0)

    def random(number: int) -> torch.Tensor:
        shape = (1, number, tokens, heads.size)
        return torch.randn(shape, device=device, dtype=heads.dtype, generator=generator)

    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        query, key, value = (random(number).requires_grad_() for number in (heads.queries, heads.keys, heads.keys))
        mask, weights = block_mask(whole.tree), random(heads.queries).transpose(1, 2)
        places = torch.arange(tokens, device=device)
        sees = mask.mask_mod(places, places, places[:, None], places)
        grouped = heads.queries != heads.keys
        plain = scaled_dot_product_attention(query, key, value, attn_mask=sees, enable_gqa=grouped).transpose(1, 2)
        expected, actual = (
            torch.cat([part.detach().float().flatten() for part in (attended, *gradients)])
            for attended in (plain, attend_at_once(query, key, value, mask, None))
            for gradients in [torch.autograd.grad((attended * weights).sum(), (query, key, value))]
        )
        # The second piece begins within a text, and everything read before is its path.
        _, second = planted.pieces(tokens // 2, device)
        split = [torch.split(item.detach(), [second.start, tokens - second.start], 2) for item in (query, key, value)]
        (_, last), (before_key, own_key), (before_value, own_value) = split
        last = attend_at_once(last, own_key, own_value, block_mask(second.tree), None, (before_key, before_value))
        pairs = [(actual, expected), (last.float(), plain.detach()[:, second.start :].float())]
    return max(float((got - wanted).norm() / wanted.norm()) for got, wanted in pairs)
