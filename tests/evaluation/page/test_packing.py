"""Every document once, compressed, and no page that is too large to open."""

from __future__ import annotations

import base64
import gzip
import json
import random
from typing import Any

from interank.evaluation.page.packing import Block, pack_texts, packed


def unpacked(block: Block) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(block.content)))


def words(seed: int, count: int) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(("one", "two", "three", "fourth", "fifth", f"w{rng.random()}")) for _ in range(count))


def test_a_block_holds_its_content_in_letters_that_no_markup_is_made_of() -> None:
    content = {"text": "</script>\u2028<!--\ud800", "none": None}
    block = packed("x", content)
    assert block == packed("x", content)
    assert unpacked(block) == {"text": "</script>\u2028<!--?", "none": None}
    assert not set(block.content) & set("<>&\"'")


def test_texts_come_back_whole_by_their_number() -> None:
    texts = [words(seed, 900) for seed in range(400)]
    found = pack_texts(texts, 30_000_000)
    assert found.cut is None and len(found.blocks) > 2
    assert [block.name for block in found.blocks] == [f"texts-{n}" for n in range(len(found.blocks))]
    parts = [unpacked(block) for block in found.blocks]
    assert found.starts == [sum(map(len, parts[:place])) for place in range(len(parts))]
    assert [row for part in parts for row in part] == [[text, len(text)] for text in texts]


def test_long_texts_are_cut_alike_where_they_would_not_fit() -> None:
    texts = [words(seed, 900) for seed in range(60)]
    budget = 60_000
    found = pack_texts(texts, budget)
    assert found.cut is not None and found.cut < max(map(len, texts))
    assert sum(len(block.content) for block in found.blocks) <= budget
    rows = [row for block in found.blocks for row in unpacked(block)]
    assert rows == [[text[: found.cut], len(text)] for text in texts]


def test_no_texts_are_no_blocks() -> None:
    assert pack_texts([], 1000).blocks == []
