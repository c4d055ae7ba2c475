"""A tree's attention as one mask: trunks stand depth first, so a key is seen from its place to its subtree's end."""

from __future__ import annotations

import torch
from torch.nn.attention.flex_attention import BlockMask

from interank.engines.tree.prefix_tree import ROOT, PrefixTree

BLOCK = 128
"""Places of a block, which is visited whole, in part or not at all."""


def seen_until(tree: PrefixTree) -> list[int]:
    """For each place of the row where its trunk's subtree, or its completion, ends.

    The query at place q sees the key at place k if k <= q < end[k].
    """
    last = [trunk.end for trunk in tree.trunks]
    for leaves in tree.leaves:
        if leaves.parent != ROOT:
            last[leaves.parent] = max(last[leaves.parent], leaves.end)
    for number in reversed(range(len(last))):
        parent = tree.trunks[number].parent
        if parent != ROOT:
            last[parent] = max(last[parent], last[number])
    ends = [0] * tree.ids.shape[1]
    for trunk, end in zip(tree.trunks, last, strict=True):
        ends[trunk.start : trunk.end] = [end] * (trunk.end - trunk.start)
    for start, end in (span for leaves in tree.leaves for span in leaves.spans):
        ends[start:end] = [end] * (end - start)
    return ends


def bucket(tokens: int) -> int:
    """The next of few lengths, 1, 2, 3, 4, 6, 8, 12 ... blocks: kernels are compiled for each."""
    blocks = max(1, -(-tokens // BLOCK))
    power = 1 << (blocks - 1).bit_length()
    return BLOCK * (power * 3 // 4 if power > 2 and power * 3 // 4 >= blocks else power)


def block_mask(tree: PrefixTree, window: int | None = None) -> BlockMask:
    """The mask of a tree on its device, padded to its bucket with places that see themselves alone.

    Args:
        tree: Whose mask it is.
        window: So many tokens of its path a token sees, itself included; all where it is None.
    """
    tokens, device = tree.ids.shape[1], tree.ids.device
    length = bucket(tokens)
    until = torch.tensor([*seen_until(tree), *range(tokens + 1, length + 1)])
    at = torch.nn.functional.pad(tree.positions[0].cpu(), (0, length - tokens))
    starts = torch.arange(0, length, BLOCK)
    ends, places = until.view(-1, BLOCK), at.view(-1, BLOCK)
    # By (block of queries, block of keys).
    later = starts[:, None] > starts
    seen = later & (ends.amax(1) > starts[:, None])
    whole = later & (ends.amin(1) >= starts[:, None] + BLOCK)
    if window is not None:
        seen &= places.amin(1)[:, None] - places.amax(1) < window
        whole &= places.amax(1)[:, None] - places.amin(1) < window
    own_until, own_at = until.to(device), at.to(device)

    def sees(batch: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        on_path = (key <= query) & (query < own_until[key])
        return on_path if window is None else on_path & (own_at[query] - own_at[key] < window)

    partly = _listed((seen & ~whole) | (starts[:, None] == starts), device)
    return BlockMask.from_kv_blocks(
        *partly, *_listed(whole, device), BLOCK_SIZE=BLOCK, mask_mod=sees, seq_lengths=(length, length)
    )


def _listed(blocks: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """For each block of queries how many blocks of keys are chosen, and which, those first."""
    counts = blocks.sum(1, dtype=torch.int32)
    order = torch.argsort(blocks.int(), dim=1, descending=True, stable=True).int()
    return counts[None, None].to(device), order[None, None].contiguous().to(device)
