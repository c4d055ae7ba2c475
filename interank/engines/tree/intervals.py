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


def path_seen_until(tree: PrefixTree) -> list[int]:
    """For each place of the path before the row the place of the row from which on it is seen no more.

    Trunks stand depth first, so each that stands after a part of the path sees no more of it than those before.
    """
    first, *others = (trunk for trunk in tree.trunks if trunk.parent == ROOT)
    ends = [tree.ids.shape[1]] * first.after
    for trunk in reversed(others):
        ends[trunk.after :] = [trunk.start] * (len(ends) - trunk.after)
    return ends


def bucket(tokens: int) -> int:
    """The next of few lengths, 1, 2, 3, 4, 6, 8, 12 ... blocks: kernels are compiled for each."""
    blocks = max(1, -(-tokens // BLOCK))
    power = 1 << (blocks - 1).bit_length()
    return BLOCK * (power * 3 // 4 if power > 2 and power * 3 // 4 >= blocks else power)


def block_mask(tree: PrefixTree, window: int | None = None) -> BlockMask:
    """The mask of a tree on its device; keys are those of the path before its row, if there is one, then its own.

    Each is padded to its bucket, the path with places that nothing sees, the row with places that see themselves alone.

    Args:
        tree: Whose mask it is.
        window: So many tokens of its path a token sees, itself included; all where it is None.
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
    """For each block of queries how many blocks of keys are chosen, and which, those first."""
    counts = blocks.sum(1, dtype=torch.int32)
    order = torch.argsort(blocks.int(), dim=1, descending=True, stable=True).int()
    return counts[None, None].to(device), order[None, None].contiguous().to(device)
