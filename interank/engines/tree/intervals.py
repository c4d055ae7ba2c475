"""A tree's attention as one mask: in depth-first order a key is seen from its place to the end of its subtree."""

from __future__ import annotations

import torch
from torch.nn.attention.flex_attention import BlockMask

from interank.engines.tree.prefix_tree import ROOT, PrefixTree

BLOCK = 128
"""Places of a block of the mask, which kernels compute whole, in part or not at all."""


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


def path_seen_until(tree: PrefixTree) -> list[int]:
    """For each place of the path before the row, the place of the row from which on it is no longer seen.

    Trunks are in depth-first order, so a later trunk that follows the path sees no more of it than earlier ones.
    """
    first, *others = (trunk for trunk in tree.trunks if trunk.parent == ROOT)
    ends = [tree.ids.shape[1]] * first.after
    for trunk in reversed(others):
        ends[trunk.after :] = [trunk.start] * (len(ends) - trunk.after)
    return ends


def bucket(tokens: int) -> int:
    """The length rounded up to 1, 2, 3, 4, 6, 8, 12 ... blocks, since kernels are compiled for each length."""
    blocks = max(1, -(-tokens // BLOCK))
    power = 1 << (blocks - 1).bit_length()
    return BLOCK * (power * 3 // 4 if power > 2 and power * 3 // 4 >= blocks else power)


def block_mask(tree: PrefixTree, window: int | None = None) -> BlockMask:
    """The mask of a tree on its device; the keys are those of the path before its row, if any, then the row's.

    Both are padded to their buckets: the path with places that no query sees, the row with places that see only
    themselves.

    Args:
        tree: The tree.
        window: How many tokens of its path each token sees, itself included; None for all.
    """
    tokens, device = tree.ids.shape[1], tree.ids.device
    length, path = bucket(tokens), path_seen_until(tree) if tree.trunks else []
    start = bucket(len(path)) if path else 0
    ends = [*(start + end for end in path), *[0] * (start - len(path)), *(start + end for end in seen_until(tree))]
    until = torch.tensor([*ends, *range(start + tokens + 1, start + length + 1)])
    at = torch.cat([torch.arange(start), tree.positions[0].cpu(), torch.zeros(length - tokens, dtype=torch.long)])
    keys = torch.arange(0, start + length, BLOCK)
    queries = keys[start // BLOCK :, None]
    last, places = until.view(-1, BLOCK), at.view(-1, BLOCK)
    # By (block of queries, block of keys).
    later = queries > keys
    seen = later & (last.amax(1) > queries)
    whole = later & (last.amin(1) >= queries + BLOCK)
    if window is not None:
        own = places[start // BLOCK :]
        seen &= own.amin(1)[:, None] - places.amax(1) < window
        whole &= own.amax(1)[:, None] - places.amin(1) < window
    own_until, own_at = until.to(device), at.to(device)

    def sees(batch: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        place = query + start
        on_path = (key <= place) & (place < own_until[key])
        return on_path if window is None else on_path & (own_at[place] - own_at[key] < window)

    partly = _listed((seen & ~whole) | (queries == keys), device)
    return BlockMask.from_kv_blocks(
        *partly, *_listed(whole, device), BLOCK_SIZE=BLOCK, mask_mod=sees, seq_lengths=(length, start + length)
    )


def _listed(blocks: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """For each block of queries the number of chosen blocks of keys, and all blocks' indices, the chosen ones first."""
    counts = blocks.sum(1, dtype=torch.int32)
    order = torch.argsort(blocks.int(), dim=1, descending=True, stable=True).int()
    return counts[None, None].to(device), order[None, None].contiguous().to(device)
