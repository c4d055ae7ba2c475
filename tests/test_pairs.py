"""Pairs in parts of whole questions: read as written, a shard by itself, in the old form too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from interank import pairs as pairs_module
from interank.errors import InputError
from interank.pairs import PAIRS, questions_of, read_pairs, write_pairs
from interank.shards import Shard
from interank.types import Document, Pair, Query, Source
from tests.test_judgments import ODD, SOURCE

PART = "part-00000.parquet"


def several(questions: int) -> list[Pair]:
    """Questions with one to four documents."""
    return [
        Pair(Query(f"q{number}", f"Why {number}?"), Document(f"d{number}-{place}", "So."), "train", "answer", SOURCE)
        for number in range(questions)
        for place in range(1 + number % 4)
    ]


def rewritten(folder: Path, change: dict[str, Any]) -> None:
    """The last row of the only part changed."""
    table = pyarrow.parquet.read_table(folder / PAIRS / PART)
    rows = table.to_pylist()
    rows[-1] |= change
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=table.schema), folder / PAIRS / PART)


def test_pairs_are_read_as_written(tmp_path: Path) -> None:
    pairs = [
        Pair(Query("q\u00e9", ODD), Document("d 1", ODD), "validation", "hard_negative", SOURCE),
        Pair(Query("q", "Why?"), Document("d", "So."), "train", "answer", Source(*"abcde")),
    ]
    assert write_pairs(pairs, tmp_path).questions == 2
    assert list(read_pairs(tmp_path)) == pairs


def test_shards_of_parts_are_all_the_pairs_and_no_question_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs_module, "_PART_PAIRS", 9)
    monkeypatch.setattr(pairs_module, "GROUP_ROWS", 4)
    every = several(23)
    written = write_pairs(every, tmp_path)
    assert (written.pairs, written.questions, questions_of(tmp_path)) == (len(every), 23, 23)
    parts = sorted((tmp_path / PAIRS).iterdir())
    assert len(parts) > 4
    by_part = [set(pyarrow.parquet.read_table(part)["query_id"].to_pylist()) for part in parts]
    assert sum(map(len, by_part)) == 23, "a question's pairs stand in one part"
    for of in (1, 2, 5, 23):
        shards = [list(read_pairs(tmp_path, Shard(of, number))) for number in range(1, of + 1)]
        assert [pair for shard in shards for pair in shard] == every
        questions = [{pair.query.query_id for pair in shard} for shard in shards]
        assert max(map(len, questions)) - min(map(len, questions)) <= 1
    with pytest.raises(InputError, match="there are 23 questions, and each shard needs one"):
        list(read_pairs(tmp_path, Shard(24, 1)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"origin": "elsewhere"}, "origin is 'elsewhere'"),
        ({"query": None}, "query: None is no text"),
        ({"split": "dev"}, "split is 'dev'"),
    ],
)
def test_a_wrong_pair_is_told_with_its_row(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    write_pairs(several(2), tmp_path)
    rewritten(tmp_path, change)
    with pytest.raises(InputError) as caught:
        list(read_pairs(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / PAIRS / PART}: row 3 ")
    assert told in str(caught.value)


def test_what_is_no_part_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no folder pairs"):
        list(read_pairs(tmp_path))
    write_pairs(several(2), tmp_path)
    (tmp_path / PAIRS / PART).write_bytes(b"no parquet")
    with pytest.raises(InputError, match="is no Parquet file of pairs"):
        list(read_pairs(tmp_path))


def test_pairs_by_lines_as_earlier_versions_wrote_them_are_read(tmp_path: Path) -> None:
    every = several(5)
    rows = [
        {
            "query_id": pair.query.query_id,
            "doc_id": pair.document.doc_id,
            "query": pair.query.text,
            "document": pair.document.text,
            "split": pair.split,
            "origin": pair.origin,
            **{name: getattr(pair.source, name) for name in ("site", "post_id", "url", "author", "licence")},
        }
        for pair in every
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert list(read_pairs(tmp_path)) == every
    shards = [list(read_pairs(tmp_path, Shard(3, number))) for number in (1, 2, 3)]
    assert [pair for shard in shards for pair in shard] == every
    with (tmp_path / "pairs.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"query_id": "q"}\n')
    with pytest.raises(InputError, match=r"pairs\.jsonl:12 .*'query'"):
        list(read_pairs(tmp_path))


@pytest.mark.parametrize("text", ["5/4", "0/4", "3", "a/b", "3/0", "-1/4", "1/4/2"])
def test_what_is_no_shard_is_told(text: str) -> None:
    with pytest.raises(InputError, match=f"--shards {text}: found no shard"):
        Shard.parse(text)
    assert Shard.parse("3/64") == Shard(64, 3)


def test_half_characters_get_a_mark(tmp_path: Path) -> None:
    pair = replace(several(1)[0], document=Document("d", "half \ud800."))
    write_pairs([pair], tmp_path)
    assert next(read_pairs(tmp_path)).document.text == "half \ufffd."
