"""Questions and answers from JSONL and Parquet are mined like those of a dump."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from interank.errors import InputError
from interank.ir.benchmarks.rows import parquet_rows
from interank.judgments import read_pairs, write_pairs
from interank.mining import Mined, find_sites, mine
from interank.settings import ColumnsRecipe, MiningRecipe

SETTINGS = MiningRecipe(min_document_words=1)


def rows(count: int = 6) -> list[dict[str, Any]]:
    return [
        {
            "question_id": 10 * n,
            "title": f"About {n}",
            "body": f"<p>topic{n} topic{n + 1} what</p>",
            "score": n,
            "tags": ["tea"],
            "url": f"https://q.example.com/{n}",
            "answers": [
                {"answer_id": 10 * n + 1, "body": f"<p>topic{n} one{n}</p>", "score": 1},
                {
                    "answer_id": 10 * n + 2,
                    "body": f"topic{n} two{n}",
                    "accepted": True,
                    "author": "Ana",
                    "licence": "MIT",
                },
            ],
        }
        for n in range(1, count + 1)
    ]


def written(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def pairs_of(mined: Mined) -> list[tuple[str, str, str]]:
    return [(pair.query.query_id, pair.origin, pair.document.doc_id) for pair in mined.pairs]


def test_a_row_is_a_thread(tmp_path: Path) -> None:
    mined = mine([written(tmp_path / "tea.jsonl", rows())], SETTINGS, 1)
    pair = mined.pairs[0]
    assert (pair.query.query_id, pair.query.text) == ("tea/10", "About 1\ntopic1 topic2 what")
    assert (pair.origin, pair.document.doc_id, pair.document.text) == ("accepted_answer", "tea/12", "topic1 two1")
    assert (pair.source.site, pair.source.author, pair.source.licence, pair.source.url) == ("tea", "Ana", "MIT", "")
    counts = mined.counts["tea"]
    assert (counts["questions"], counts["answers"], counts["chosen_questions"]) == (6, 12, 6)


def test_gzip_and_parquet_give_the_same_pairs(tmp_path: Path) -> None:
    expected = pairs_of(mine([written(tmp_path / "tea.jsonl", rows())], SETTINGS, 1))
    (tmp_path / "tea.jsonl.gz").write_bytes(gzip.compress((tmp_path / "tea.jsonl").read_bytes()))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows()), tmp_path / "tea.parquet")
    for name in ("tea.jsonl.gz", "tea.parquet"):
        assert pairs_of(mine([tmp_path / name], SETTINGS, 1)) == expected


def test_columns_are_mapped_and_posts_numbered(tmp_path: Path) -> None:
    lines = [
        {"q": f"topic{n} & <tea>\n\nmore", "replies": [{"text": f"first{n}", "pm": 2}, {"text": f"second{n}", "pm": 5}]}
        for n in range(4)
    ]
    names = {"body": "q", "answers": "replies", "answer_body": "text", "answer_score": "pm", "text": "plain"}
    columns = ColumnsRecipe.model_validate({"question_id": None, "title": None, "answer_id": None, **names})
    mined = mine([written(tmp_path / "t.jsonl", lines)], SETTINGS.model_copy(update={"columns": columns}), 1)
    assert [row[:2] for row in pairs_of(mined)[:2]] == [("t/1", "accepted_answer"), ("t/1", "answer")]
    assert mined.pairs[0].document.text == "second0"
    assert mined.pairs[0].query.text.strip() == "topic0 & <tea>\n\nmore"


def test_bad_rows_are_skipped_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = rows()
    bad = [
        "{",
        "[1]",
        {**good[0], "question_id": "x"},
        {**good[0], "body": None},
        {**good[0], "answers": "none"},
        {**good[0], "answers": [3]},
        {**good[0], "answers": [{"answer_id": True, "body": "a"}]},
        {**good[0], "score": 1.5},
        "[" * 200_000,
        '{"question_id": ' + "9" * 5000 + "}",
        {**good[0], "question_id": "9" * 5000},
        {**good[0], "question_id": 10**30},
        {**good[0], "score": math.nan},
        {**good[0], "body": "half \ud800 a character"},
        {**good[0], "title": "\udfff"},
        {**good[0], "title": ["a"]},
        {**good[0], "tags": ["\ud800"]},
        {**good[0], "tags": [1.5]},
        {**good[0], "licence": True},
        {**good[0], "answers": [{"answer_id": 1, "body": "\ud83d"}]},
        {**good[0], "answers": [{"answer_id": 1, "body": "a", "accepted": "false"}]},
    ]
    mined = mine([written(tmp_path / "tea.jsonl", [*bad, *good])], SETTINGS, 1)
    assert (mined.counts["tea"]["skipped_rows"], mined.counts["tea"]["questions"]) == (21, 6)
    assert "skipped rows: 21 (line 1: " in caplog.text
    assert "question_id is 'x', not an integer; null numbers the posts" in caplog.text


def test_a_table_of_something_else_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no row that can be used \(line 1: question_id is missing.*mining\.columns"):
        mine([written(tmp_path / "t.jsonl", [{"id": 1}])], SETTINGS, 1)
    (tmp_path / "t.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        mine([tmp_path / "t.parquet"], SETTINGS, 1)


def test_a_cut_archive_of_rows_gives_what_stood_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    packed = gzip.compress(written(tmp_path / "t.jsonl", rows(3_000)).read_bytes())
    path = tmp_path / "tea.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    [origin] = find_sites([path], SETTINGS)
    outline, _ = origin.outline(SETTINGS, frozenset())
    assert 0 < len(outline.ids) < 9_000
    assert "breaks off" in caplog.text


def test_ids_are_both_columns_or_neither() -> None:
    with pytest.raises(ValueError, match="either both columns or both null"):
        ColumnsRecipe(question_id=None)


def test_what_no_file_can_hold_is_skipped_with_its_place_and_the_rest_is_mined(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [json.dumps(row) for row in rows()]
    lines[2] = lines[2].replace("topic3 one3", "half \\ud800")
    raw = [line.encode() for line in lines]
    raw[4] = raw[4].replace(b"About 5", b"caf\xe9")
    (tmp_path / "tea.jsonl").write_bytes(b"\n".join(raw))
    mined = mine([tmp_path / "tea.jsonl"], SETTINGS, 1)
    assert {pair.query.query_id for pair in mined.pairs} == {f"tea/{10 * n}" for n in (1, 2, 4, 6)}
    assert mined.counts["tea"]["skipped_rows"] == 2
    assert "line 3: body: found '\\ud800', half a character that UTF-8 cannot write; line 5: bytes that" in caplog.text
    write_pairs(mined.pairs, tmp_path / "pairs.jsonl")
    assert read_pairs(tmp_path / "pairs.jsonl") == mined.pairs


def test_a_row_of_parquet_that_cannot_be_read_is_skipped_with_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = pyarrow.array([b"About 1", b"caf\xe9", *[b"more"] * 4], pyarrow.binary())
    # As other writers do, which look no closer.
    titles = pyarrow.Array.from_buffers(pyarrow.string(), len(bad), bad.buffers())
    table = pyarrow.Table.from_pylist(rows())
    place = table.column_names.index("title")
    pyarrow.parquet.write_table(table.set_column(place, "title", titles), tmp_path / "tea.parquet")
    mined = mine([tmp_path / "tea.parquet"], SETTINGS, 1)
    assert {pair.query.query_id for pair in mined.pairs} == {f"tea/{10 * n}" for n in (1, 3, 4, 5, 6)}
    assert "skipped rows: 1 (line 2: found what cannot be read ('utf-8' codec" in caplog.text
    with pytest.raises(InputError, match=r"tea\.parquet: row 2: found what cannot be read"):
        list(parquet_rows(tmp_path / "tea.parquet"))


def test_what_is_missing_as_nan_is_neither_text_nor_a_vote(tmp_path: Path) -> None:
    line = rows(1)[0] | {"author": math.nan}
    line["answers"][0]["accepted"] = math.nan
    mined = mine([written(tmp_path / "tea.jsonl", [line, *rows()[1:]])], SETTINGS, 1)
    first = next(pair for pair in mined.pairs if pair.query.query_id == "tea/10" and pair.origin == "accepted_answer")
    assert first.document.doc_id == "tea/12", "NaN was taken for acceptance"
    assert all(pair.source.author != "nan" for pair in mined.pairs)
