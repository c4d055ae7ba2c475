"""Data that a page carries: JSON, compressed, in letters that no markup is made of, for the browser to unpack."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# Characters of text in a block: large enough to compress well, small enough to be unpacked within a few milliseconds.
_BLOCK = 400_000
# Documents are cut to the longest of these that lets the page stay below its size.
_CUTS = (100_000, 16_000, 8_000, 4_000, 2_000, 1_000, 500, 250)
_SAMPLED = 2_000_000
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of the page's data under its name."""

    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Texts:
    """Documents in blocks; `starts` holds the number of each block's first, `cut` the length that texts were cut to."""

    blocks: list[Block]
    starts: list[int]
    cut: int | None


def packed(name: str, content: Any) -> Block:
    """The content as a block; the same content makes the same block."""
    raw = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Block(name, base64.b64encode(gzip.compress(raw, _LEVEL, mtime=0)).decode("ascii"))


def pack_texts(texts: Sequence[str], budget: int) -> Texts:
    """Every text once, cut at the same length where together they would exceed the budget in bytes."""
    longest = max(map(len, texts), default=0)
    for cut in _CUTS:
        if _estimated(texts, cut) > budget and cut != _CUTS[-1]:
            continue
        blocks, starts = _blocks(texts, cut)
        if sum(len(block.content) for block in blocks) <= budget or cut == _CUTS[-1]:
            break
    return Texts(blocks, starts, cut if longest > cut else None)


def _estimated(texts: Sequence[str], cut: int) -> float:
    """About how many bytes the texts take, from how well some of them compress."""
    total = sum(min(len(text), cut) for text in texts)
    step = max(1, total // _SAMPLED)
    # Runs of neighbours, as the blocks hold them: single texts from everywhere would share less.
    sample = [text[:cut] for place, text in enumerate(texts) if place // 50 % step == 0]
    size = sum(map(len, sample))
    return total * len(packed("", sample).content) / size if size else 0.0


def _blocks(texts: Sequence[str], cut: int) -> tuple[list[Block], list[int]]:
    blocks: list[Block] = []
    starts: list[int] = []
    for start, part in _parts(texts, cut):
        blocks.append(packed(f"texts-{len(blocks)}", part))
        starts.append(start)
    return blocks, starts


def _parts(texts: Sequence[str], cut: int) -> Iterator[tuple[int, list[list[Any]]]]:
    """Texts with their whole length, in parts of about a block's size."""
    start, size = 0, 0
    part: list[list[Any]] = []
    for place, text in enumerate(texts):
        part.append([text[:cut], len(text)])
        size += min(len(text), cut)
        if size >= _BLOCK:
            yield start, part
            start, size, part = place + 1, 0, []
    if part:
        yield start, part
