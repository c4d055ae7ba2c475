"""A dense decoder's forward pass on a CPU over texts packed end to end, without padding, shared prefixes read once.

It uses the model's own modules, of the families that it supports (`fits`); others generate in transformers' cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn import functional

from interank.engines.layers import CHANGING_ROPE

# Layers of the same make: RMS norms before attention and a gated MLP, rotary positions, grouped heads.
_FAMILIES = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")
# Queries of one attention call: fewer waste less on the masked triangle, more cost fewer calls.
_QUERY_BLOCK = 128

Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Sink = Callable[[int, int, torch.Tensor, torch.Tensor], None]


class Past(Protocol):
    """The keys and values of the tokens before a text."""

    @property
    def length(self) -> int:
        """The number of these tokens."""
        ...

    def layer(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of a layer, each (heads, length, size)."""
        ...


@dataclass(frozen=True, slots=True)
class TextKeyValues:
    """Keys and values of a text, layer by layer."""

    layers: list[tuple[torch.Tensor, torch.Tensor]]
    length: int

    def layer(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Past`."""
        return self.layers[index]


@dataclass(frozen=True, slots=True)
class Segment:
    """Token ids to read, and the past that they follow."""

    ids: tuple[int, ...]
    past: Past | None = None

    @property
    def start(self) -> int:
        """The position of the first id."""
        return self.past.length if self.past else 0


def fits(model: Any) -> bool:
    """Whether the model is of a known family, plain (no adapter, no quantised layer), in float32 on a CPU."""
    if type(model).__name__ not in _FAMILIES:
        return False
    config = model.config
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    # Frequencies and window would follow the length of the whole pack.
    if rope in CHANGING_ROPE or getattr(config, "sliding_window", None) is not None:
        return False
    plain = all(
        type(getattr(part, name)) is torch.nn.Linear
        for layer in model.model.layers
        for part, names in ((layer.self_attn, _ATTENTION), (layer.mlp, _MLP))
        for name in names
    )
    return plain and all(p.dtype == torch.float32 and p.device.type == "cpu" for p in model.parameters())


class DenseDecoder:
    """Runs the weights of a model that `fits`."""

    def __init__(self, model: Any) -> None:
        """Take the model's weights as they are; its gated layers may be `rounded`."""
        self.model = model
        self._layers = [_Layer(layer) for layer in model.model.layers]
        attention = model.model.layers[0].self_attn
        self.heads = int(model.config.num_attention_heads)
        self.kv_heads = int(model.config.num_key_value_heads)
        self.size = int(attention.head_dim)
        self.scale = float(attention.scaling)

    @property
    def depth(self) -> int:
        """The number of layers."""
        return len(self._layers)

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """The vocabulary's logits of each row."""
        logits: torch.Tensor = self.model.lm_head(hidden)
        return logits

    def keep(self, ids: Sequence[int], tokens: int) -> TextKeyValues:
        """The keys and values of a text, read `tokens` tokens at a time."""
        kept = TextKeyValues([], 0)
        for begin in range(0, len(ids), tokens):
            piece = tuple(ids[begin : begin + tokens])
            layers: list[tuple[torch.Tensor, torch.Tensor]] = []
            # Cloned, because views would keep whole projections in memory.
            self._read(
                [Segment(piece, kept if begin else None)],
                lambda _, __, k, v, layers=layers: layers.append((k.clone(), v.clone())),  # type: ignore[misc]
                hidden=False,
            )
            for index, (key, value) in enumerate(kept.layers):
                layers[index] = torch.cat([key, layers[index][0]], 1), torch.cat([value, layers[index][1]], 1)
            kept = TextKeyValues(layers, begin + len(piece))
        return kept

    def read(self, segments: Sequence[Segment], sink: Sink | None = None) -> torch.Tensor:
        """The last hidden state of each segment; `sink` gets each segment's keys and values, layer by layer."""
        return self._read(segments, sink, hidden=True)

    def step(self, tokens: torch.Tensor, positions: torch.Tensor, attend: Attend) -> torch.Tensor:
        """The hidden states of one more token for each row; `attend` attends to the row's past."""
        return self._run(tokens, positions, attend, torch.arange(len(tokens)))

    def _read(self, segments: Sequence[Segment], sink: Sink | None, *, hidden: bool) -> torch.Tensor:
        lengths = [len(segment.ids) for segment in segments]
        ids = torch.tensor([index for segment in segments for index in segment.ids])
        positions = torch.cat([torch.arange(s.start, s.start + n) for s, n in zip(segments, lengths, strict=True)])
        ends = torch.tensor(lengths).cumsum(0)
        last = ends - 1 if hidden else ends[:0]
        masks: dict[int, torch.Tensor] = {}
        longest = max(lengths)

        def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            out = q.new_empty(q.shape)
            final = layer == self.depth - 1
            for place, (segment, end, length) in enumerate(zip(segments, ends.tolist(), lengths, strict=True)):
                own = slice(end - length, end)
                keys, values = k[own].transpose(0, 1), v[own].transpose(0, 1)
                if sink is not None:
                    sink(layer, place, keys, values)
                if final and not hidden:
                    continue
                if segment.past is not None:
                    before = segment.past.layer(layer)
                    keys, values = torch.cat([before[0], keys], 1), torch.cat([before[1], values], 1)
                if final:
                    out[place : place + 1] = self._attended(q[place : place + 1], keys, values, None)
                    continue
                if segment.start not in masks:
                    masks[segment.start] = _mask(longest, segment.start)
                self._causal(q[own], keys, values, masks[segment.start], out[own])
            return out.flatten(1)

        return self._run(ids, positions, attend, last)

    def _causal(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor, out: torch.Tensor) -> None:
        """Attention of the last positions of `k`, in blocks of queries that leave out keys after the block."""
        count, total = len(q), k.shape[1]
        for begin in range(0, count, _QUERY_BLOCK):
            end = min(begin + _QUERY_BLOCK, count)
            seen = total - count + end
            out[begin:end] = self._attended(q[begin:end], k[:, :seen], v[:, :seen], mask[begin:end, :seen])

    def _attended(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return functional.scaled_dot_product_attention(
            q.transpose(0, 1)[None], k[None], v[None], attn_mask=mask, scale=self.scale, enable_gqa=True
        )[0].transpose(0, 1)

    def _run(self, ids: torch.Tensor, positions: torch.Tensor, attend: Attend, last: torch.Tensor) -> torch.Tensor:
        """The hidden states of the rows `last`; for other rows the last layer computes keys and values only."""
        x = self.model.model.embed_tokens(ids)
        cos, sin = self.model.model.rotary_emb(x, positions[None])
        cos, sin = cos[0, :, None], sin[0, :, None]
        for index, layer in enumerate(self._layers):
            final = index == self.depth - 1
            operand = _normed(x, layer.before_attention)
            k = layer.k(operand).view(len(x), self.kv_heads, self.size)
            v = layer.v(operand).view(len(x), self.kv_heads, self.size)
            k = _rotated(_head_normed(k, layer.k_norm), cos, sin)
            if final:
                operand, x, cos, sin = operand[last], x[last], cos[last], sin[last]
            q = layer.q(operand).view(len(x), self.heads, self.size)
            q = _rotated(_head_normed(q, layer.q_norm), cos, sin)
            seen = attend(index, q, k, v)
            if not len(x):
                break
            x = x + layer.o(seen)
            operand = _normed(x, layer.before_mlp).to(layer.into_gate)
            gated = layer.activation(layer.gate(operand)).mul_(layer.up(operand))
            x = x + layer.down(gated)
        return _normed(x, self.model.model.norm)


class _Layer:
    """The modules of a decoder layer."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.q, self.k, self.v, self.o = (getattr(attention, name) for name in _ATTENTION)
        self.gate, self.up, self.down = (getattr(mlp, name) for name in _MLP)
        self.into_gate = mlp.gate_proj.weight.dtype
        self.activation = mlp.act_fn
        self.before_attention, self.before_mlp = layer.input_layernorm, layer.post_attention_layernorm
        self.q_norm, self.k_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)


def _normed(x: torch.Tensor, norm: Any) -> torch.Tensor:
    return functional.rms_norm(x, (x.shape[-1],), norm.weight, norm.variance_epsilon)


def _head_normed(x: torch.Tensor, norm: Any | None) -> torch.Tensor:
    return x if norm is None else _normed(x, norm)


def _rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions (arXiv 2104.09864) with the halves as pairs, as these families have them."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


def _mask(count: int, start: int) -> torch.Tensor:
    """The causal mask of `count` queries after `start` positions; its upper left part serves fewer queries."""
    future = torch.ones(count, start + count, dtype=torch.bool).triu(start + 1)
    return torch.zeros(count, start + count).masked_fill_(future, float("-inf"))
