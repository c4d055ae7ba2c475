"""The limits of a batch (tokens of a forward pass, bytes of keys and values), and batches cut by them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from interank import machine
from interank.engines.layers import STATES, changes_rope
from interank.engines.prompts import Prompt

# Tokens of one forward pass: enough to keep the cores busy, few enough for the processor's caches.
_MOST_TOKENS = {"cpu": 1024, "cuda": 65536}
# With fewer, a text is read nearly token by token, loading all weights each time; so few fit wherever the model does.
_LEAST_TOKENS = 64
# On a CPU other programs live in the same memory, and larger batches are hardly faster.
_MOST_KEYS = {"cpu": 4 * 2**30}
# Shares of the free memory; the rest is for logits, a layer's temporaries and the allocator's fragmentation.
_KEYS, _LAYER = 1 / 2, 1 / 4

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of a batch; a prompt that exceeds them by itself still runs, alone."""

    tokens: int
    """Tokens of one forward pass; longer texts are read in pieces."""
    keys: int
    """Bytes of keys and values that are held together, those of shared prefixes included."""


@dataclass(frozen=True, slots=True)
class Held:
    """The size of a cache in bytes."""

    token: int
    """For each token of a row."""
    row: int = 0
    """For each row, however long."""


def budget_of(model: Any) -> Budget:
    """A budget from the device's free memory, in powers of two, so that a resumed run mostly cuts the same batches."""
    kind, free = model.device.type, free_bytes(model.device)
    most = _MOST_KEYS.get(kind)
    keys, tokens = _power_of_two(free * _KEYS), _power_of_two(free * _LAYER / _layer_bytes(model))
    tokens = max(_LEAST_TOKENS, min(tokens, _MOST_TOKENS.get(kind, _MOST_TOKENS["cuda"])))
    return Budget(tokens, min(keys, most) if most else keys)


def within(model: Any, gigabytes: float | None) -> Budget | None:
    """A budget of `gigabytes` of keys and values; None, which leaves it to the free memory, if no number is given."""
    return None if gigabytes is None else Budget(budget_of(model).tokens, int(gigabytes * 1e9))


def free_bytes(device: torch.device) -> int:
    """The memory that this process could still take on a device."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free, total = torch.cuda.mem_get_info(device)
        allowed = int(total * torch.cuda.get_per_process_memory_fraction(device)) - torch.cuda.memory_reserved(device)
        return max(0, min(free, allowed)) + unused
    return machine.free_memory()


def held(model: Any) -> Held:
    """The size of the model's keys and values in a cache, by its configuration; recurrent states are not counted."""
    config = model.config.get_text_config()
    layers = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    attending = sum(kind not in STATES for kind in layers)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Held(2 * attending * heads * size * model.dtype.itemsize)


def cut(prompts: Sequence[Prompt], budget: Budget, each: Held, room: int) -> Iterator[list[int]]:
    """Batches of prompts for generation, as places in `prompts`: those of a prefix in a row, the longest first.

    Each prefix counts once, and every row counts with the longest prefix and the longest rest of its batch, as padded
    rows do in memory. A batch of one prompt may exceed the budget.

    Args:
        prompts: The prompts.
        budget: The limits of a batch.
        each: The size of a cache.
        room: The most new tokens after each prompt.
    """
    numbers: dict[Ids, int] = {}
    cuts = [(numbers.setdefault(prefix, len(numbers)), len(prefix), len(rest)) for prefix, rest in map(parts, prompts)]
    longest = [0] * len(numbers)
    for number, before, after in cuts:
        longest[number] = max(longest[number], before + after)
    order = sorted(range(len(cuts)), key=lambda i: (-longest[cuts[i][0]], cuts[i][0], -cuts[i][2], i))
    batch: list[int] = []
    prefixes: dict[int, int] = {}
    before = after = 0
    for place in order:
        number, *lengths = cuts[place]
        now = {**prefixes, number: lengths[0]}
        wide, high = (max(before, lengths[0]), max(after, lengths[1])), len(batch) + 1
        keys = each.token * (sum(now.values()) + high * (sum(wide) + room)) + each.row * (high + len(now))
        if batch and keys > budget.keys:
            yield batch
            batch, now, wide = [], {number: lengths[0]}, (lengths[0], lengths[1])
        batch.append(place)
        prefixes, (before, after) = now, wide
    if batch:
        yield batch


def cut_apart(model: Any, prompts: Sequence[Prompt], budget: Budget, each: Held, room: int) -> Iterator[list[int]]:
    """As `cut`, but a prompt that may get so long that rotary frequencies change is a batch by itself."""
    apart = {n for n, prompt in enumerate(prompts) if changes_rope(model.config, len(prompt.ids) + room)}
    together = [place for place in range(len(prompts)) if place not in apart]
    for batch in cut([prompts[place] for place in together], budget, each, room):
        yield [together[number] for number in batch]
    yield from ([place] for place in sorted(apart))


def parts(prompt: Prompt) -> tuple[Ids, Ids]:
    """A prompt's prefix, which is read once for several prompts, and the rest, which has at least one token."""
    rest = prompt.document + prompt.suffix
    return (prompt.prefix, rest) if rest else (prompt.prefix[:-1], prompt.prefix[-1:])


def _layer_bytes(model: Any) -> int:
    """About the bytes of a token's activations in a layer; norms copy its inputs to float32."""
    config = model.config.get_text_config()
    wide = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return int(model.dtype.itemsize * (6 * config.hidden_size + 4 * wide) + 8 * config.hidden_size)


def _power_of_two(number: float) -> int:
    """The largest power of two up to `number`, at least 1."""
    return 1 << (max(1, int(number)).bit_length() - 1)
