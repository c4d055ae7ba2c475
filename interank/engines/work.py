"""What running a language model takes: tokens read and written, and the floating-point operations they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interank.engines.prompts import Prompt

_SHAPE = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size")


@dataclass(frozen=True, slots=True)
class Work:
    """Counts of an engine's work by its prompts; a prefix counts once for those read together, padding does not count.

    What follows the prefix counts for each prompt. Where prompts are read as a tree, beginnings that documents share
    too and equal prompts are computed once and yet counted for each, so that there the counts are an upper bound.
    """

    tokens_read: int = 0
    """Tokens of prompts that went through the model."""
    tokens_written: int = 0
    """Tokens generated."""
    attended: int = 0
    """The summed numbers of positions that each of them attended to, itself included."""
    projected: int = 0
    """Positions of which the vocabulary's logits were computed."""

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
    """Positions that `count` tokens attend to together, the first of them standing at `start`, in a causal model."""
    return count * start + count * (count + 1) // 2


def work_of_reading(prompts: Sequence[Prompt]) -> Work:
    """What reading the prompts takes: each prefix once, and what follows it."""
    parts = [(0, len(prefix)) for prefix in dict.fromkeys(prompt.prefix for prompt in prompts)]
    parts += [(len(prompt.prefix), len(prompt.document) + len(prompt.suffix)) for prompt in prompts]
    attended = sum(positions_attended(start, count) for start, count in parts)
    return Work(tokens_read=sum(count for _, count in parts), attended=attended)


def work_of_writing(prompts: Sequence[Prompt], lengths: Sequence[int]) -> Work:
    """What writing so many tokens behind each prompt takes."""
    attended = sum(positions_attended(len(p.ids), n) for p, n in zip(prompts, lengths, strict=True))
    return Work(tokens_written=sum(lengths), attended=attended, projected=sum(lengths))


def flops(config: Any, work: Work) -> float | None:
    """Floating-point operations of the work in a dense decoder of this `transformers` configuration.

    Two for each weight of the linear layers and token, four for each attended position, head dimension and layer
    (Kaplan et al., arXiv 2001.08361, table 1, with the attention at its true lengths). An adapter that is not merged
    and the last written token, which is not read, are left out and in: below 1% each. None where the configuration
    has not the shape of a dense Llama, or layers that do not attend to all before them.
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
