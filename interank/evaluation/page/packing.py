"""Packs the page's data as gzipped JSON in base64, which the browser unpacks."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

# Characters of text in a block: large enough to compress well, small enough to be unpacked within a few milliseconds.
_BLOCK = 400_000
# Documents are cut to the longest of these lengths with which the page stays within its budget.
_CUTS = (100_000, 16_000, 8_000, 4_000, 2_000, 1_000, 500, 250)
_SAMPLED = 2_000_000
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Block:
    """One named piece of the page's data."""

    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Texts:
    """Documents in blocks.

    `starts` holds the number of each block's first document, `cut` the length that texts were cut to; None if no text
    was cut.
    """

    blocks: list[Block]
    starts: list[int]
    cut: int | None


def packed(name: str, content: Any) -> Block:
    """Pack the content as a block, deterministically."""
    raw = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Block(name, base64.b64encode(gzip.compress(raw, _LEVEL, mtime=0)).decode("ascii"))


def packed_parts(name: str, parts: Sequence[slice], content: Callable[[slice], Any]) -> list[Block]:
    """Pack each part's content as a block named `NAME-NUMBER`."""
    # Compression is most of the work and releases the interpreter's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        names = (f"{name}-{number}" for number in range(len(parts)))
        return list(pool.map(lambda name, part: packed(name, content(part)), names, parts))


def pack_texts(texts: Sequence[str], budget: int) -> Texts:
    """Pack all texts, cut to one length if they would exceed the budget in bytes."""
    longest = max(map(len, texts), default=0)
    for cut in _CUTS:
        if _estimated(texts, cut) > budget and cut != _CUTS[-1]:
            continue
        blocks, starts = _blocks(texts, cut)
        if sum(len(block.content) for block in blocks) <= budget or cut == _CUTS[-1]:
            break
    return Texts(blocks, starts, cut if longest > cut else None)


def _estimated(texts: Sequence[str], cut: int) -> float:
    """The estimated packed size of the texts in bytes, from a sample's compression ratio."""
    total = sum(min(len(text), cut) for text in texts)
    step = max(1, total // _SAMPLED)
    # Neighbouring texts, as in blocks: scattered ones would have less in common and compress worse.
    sample = [text[:cut] for place, text in enumerate(texts) if place // 50 % step == 0]
    size = sum(map(len, sample))
    return total * len(packed("", sample).content) / size if size else 0.0


def _blocks(texts: Sequence[str], cut: int) -> tuple[list[Block], list[int]]:
    parts = list(_parts(texts, cut))
    blocks = packed_parts("texts", parts, lambda part: [[text[:cut], len(text)] for text in texts[part]])
    return blocks, [part.start for part in parts]


def _parts(texts: Sequence[str], cut: int) -> Iterator[slice]:
    """Slices of the texts that, once cut, make about a block each."""
    start, size = 0, 0
    for place, text in enumerate(texts):
        size += min(len(text), cut)
        if size >= _BLOCK:
            yield slice(start, place + 1)
            start, size = place + 1, 0
    if start < len(texts):
        yield slice(start, len(texts))
