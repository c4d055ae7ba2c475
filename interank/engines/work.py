"""The work of a language model: tokens read and written, and the floating-point operations for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interank.engines.prompts import Prompt

_SHAPE = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size")


@dataclass(frozen=True, slots=True)
class Work:
    """Counts of an engine's work; a prefix counts once for prompts read together, padding does not count.

    Tokens after the prefix count for each prompt. In a tree, equal prompts and common beginnings of documents are
    computed once but counted each time, so that the counts are an upper bound there.
    """

    tokens_read: int = 0
    """Tokens of prompts that went through the model."""
    tokens_written: int = 0
    """Tokens generated."""
    attended: int = 0
    """The sum over these tokens of the positions that each attended to, itself included."""
    projected: int = 0
    """Positions for which the vocabulary's logits were computed."""

    def __add__(self, other: Work) -> Work:
        return Work(
            self.tokens_read + other.tokens_read,
            self.tokens_written + other.tokens_written,
            self.attended + other.attended,
            self.projected + other.projected,
        )

    def __sub__(self, other: Work) -> Work:
        return Work(
            self.tokens_read - other.tokens_read,
            self.tokens_written - other.tokens_written,
            self.attended - other.attended,
            self.projected - other.projected,
        )


def positions_attended(start: int, count: int) -> int:
    """The sum of positions that `count` tokens attend to in a causal model, the first of them at position `start`."""
    return count * start + count * (count + 1) // 2


def work_of_reading(prompts: Sequence[Prompt]) -> Work:
    """The work of reading prompts: each prefix once, and the rest of each prompt."""
    parts = [(0, len(prefix)) for prefix in dict.fromkeys(prompt.prefix for prompt in prompts)]
    parts += [(len(prompt.prefix), len(prompt.document) + len(prompt.suffix)) for prompt in prompts]
    attended = sum(positions_attended(start, count) for start, count in parts)
    return Work(tokens_read=sum(count for _, count in parts), attended=attended)


def work_of_writing(prompts: Sequence[Prompt], lengths: Sequence[int]) -> Work:
    """The work of generating `lengths` tokens after the prompts."""
    attended = sum(positions_attended(len(p.ids), n) for p, n in zip(prompts, lengths, strict=True))
    return Work(tokens_written=sum(lengths), attended=attended, projected=sum(lengths))


def flops(config: Any, work: Work) -> float | None:
    """Floating-point operations of the work in a dense decoder of this `transformers` configuration.

    Each token takes two operations for each weight of the linear layers, and in each layer four for each attended
    position and dimension of the query heads (Kaplan et al., arXiv 2001.08361, table 1, with the attention at its true
    lengths). The vocabulary's head counts only where logits were computed. An unmerged adapter is not counted. The last
    generated token is counted, although the model never reads it. Either changes the result by less than 1%. None if
    the configuration is not that of a dense Llama, or has layers that do not attend to all tokens before.
    """
    if {*(getattr(config, "layer_types", None) or ())} - {"full_attention"}:
        return None
    if any(getattr(config, name, None) is None for name in _SHAPE) or getattr(config, "num_local_experts", None):
        return None
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    queries = config.num_attention_heads * head
    keys = (getattr(config, "num_key_value_heads", None) or config.num_attention_heads) * head
    attention = config.hidden_size * (2 * queries + 2 * keys)
    layer = attention + 3 * config.hidden_size * config.intermediate_size
    tokens = work.tokens_read + work.tokens_written
    return float(
        2 * config.num_hidden_layers * layer * tokens
        + 2 * config.hidden_size * config.vocab_size * work.projected
        + 4 * config.num_hidden_layers * queries * work.attended
    )
