"""Judgments survive being written and read, as JSONL and as Parquet, and a bad line is named."""

from __future__ import annotations

import json
import math
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from interank.errors import InputError
from interank.judgments import (
    COLUMNS,
    FILE,
    LABEL_COLUMNS,
    PARQUET,
    JudgedList,
    JudgmentsWriter,
    Mark,
    by_question,
    judgment_row,
    read_judgments,
    write_judgments,
)
from interank.types import Document, Example, Judgment, Pair, Query, Relevance, Source
from tests.support import rule

SOURCE = Source("cooking.example.com", "17", "https://cooking.example.com/a/17", "Ann \u2028 O'Neil", "CC BY-SA 4.0")
ODD = 'Tab\t, "quotes", \r\n break, \u2028, \x85, \x00, \U0001f600 and </script>'


def written() -> list[Example]:
    odd = Example(
        Query("q\u00e9", ODD),
        Document("d 1", ODD),
        Judgment(ODD, Relevance.RELEVANT),
        (0.1, 0.2, 0.7),
        "validation",
        SOURCE,
    )
    return [*rule.examples(5, queries=2, documents=4), odd]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_judgments(written(), tmp_path)
    assert read_judgments(tmp_path) == written()


def test_a_title_is_kept_as_the_document_s_first_line(tmp_path: Path) -> None:
    example = replace(written()[0], document=Document("d", "text", "title"))
    write_judgments([example], tmp_path)
    assert read_judgments(tmp_path)[0].document.full_text == "title\ntext"


def test_a_split_is_read_alone(tmp_path: Path) -> None:
    write_judgments(written(), tmp_path)
    assert read_judgments(tmp_path, "validation") == written()[-1:]
    assert read_judgments(tmp_path, "train") == written()[:-1]


def test_the_columns_are_those_promised_in_their_order(tmp_path: Path) -> None:
    write_judgments(written(), tmp_path)
    lines = (tmp_path / FILE).read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == len(written())
    assert {tuple(json.loads(line)) for line in lines} == {COLUMNS}
    for name in PARQUET.values():
        assert tuple(pyarrow.parquet.read_schema(tmp_path / name).names) == COLUMNS


def test_parquet_holds_the_same_rows(tmp_path: Path) -> None:
    write_judgments(written(), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / FILE).read_bytes().splitlines()]
    for split, name in PARQUET.items():
        assert pyarrow.parquet.read_table(tmp_path / name).to_pylist() == [row for row in rows if row["split"] == split]
    assert rows[-1]["probabilities"] == [0.1, 0.2, 0.7]
    assert rows[0]["probabilities"] is None


def test_no_judgments_are_an_empty_file_of_the_same_columns(tmp_path: Path) -> None:
    write_judgments([], tmp_path)
    assert read_judgments(tmp_path) == []
    assert not (tmp_path / PARQUET["validation"]).exists()
    table = pyarrow.parquet.read_table(tmp_path / PARQUET["train"])
    assert table.num_rows == 0
    assert tuple(table.column_names) == COLUMNS


def test_scores_and_weights_of_labels_are_kept(tmp_path: Path) -> None:
    first, second, *rest = written()
    labelled = [replace(first, score=-0.25), replace(second, weight=2.5), *rest]
    write_judgments(labelled, tmp_path)
    assert read_judgments(tmp_path) == labelled
    rows = [json.loads(line) for line in (tmp_path / FILE).read_bytes().splitlines()]
    assert {tuple(row) for row in rows} == {COLUMNS + LABEL_COLUMNS}
    assert [(row["score"], row["weight"]) for row in rows[:3]] == [(-0.25, 1.0), (None, 2.5), (None, 1.0)]
    table = pyarrow.parquet.read_table(tmp_path / PARQUET["train"])
    assert table.to_pylist() == [row for row in rows if row["split"] == "train"]


def test_the_instructions_of_queries_are_kept(tmp_path: Path) -> None:
    first, second, *rest = written()
    told = [
        replace(first, query=replace(first.query, instruction="Cite statutes.")),
        replace(second, query=replace(second.query, instruction="")),
        *rest,
    ]
    write_judgments(told, tmp_path)
    assert read_judgments(tmp_path) == told
    rows = [json.loads(line) for line in (tmp_path / FILE).read_bytes().splitlines()]
    assert {tuple(row) for row in rows} == {(*COLUMNS, "instruction")}
    assert pyarrow.parquet.read_table(tmp_path / PARQUET["train"]).to_pylist() == [
        row for row in rows if row["split"] == "train"
    ]
    (tmp_path / FILE).write_text(json.dumps({**rows[0], "instruction": 3}))
    with pytest.raises(InputError, match="instruction: 3 is no text"):
        read_judgments(tmp_path)


def test_equal_judgments_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_judgments(written(), tmp_path / name)
    for file in (FILE, *PARQUET.values()):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_writer_holds_few_rows_of_each_split(tmp_path: Path) -> None:
    row, rows, size = judgment_row(written()[0], None), 12_000, 2_000
    tracemalloc.start()
    with JudgmentsWriter(tmp_path, COLUMNS) as writer:
        for number in range(rows):
            writer.add(row | {"split": ("train", "validation")[number % 2], "document": f"{number:{size}}"})
        _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < rows * size / 2
    assert [pyarrow.parquet.read_metadata(tmp_path / name).num_rows for name in PARQUET.values()] == [rows // 2] * 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"relevance": 7}, "relevance: 7"),
        ({"relevance": None}, "relevance: None"),
        ({"relevance": True}, "relevance: True"),
        ({"relevance": 1.0}, "relevance: 1.0"),
        ({"relevance": math.nan}, "relevance: nan"),
        ({"reasoning": 3}, "reasoning: 3 is no text"),
        ({"document": "half \ud800"}, "document: it holds '\\ud800', half a character"),
        ({"query_id": 10**30}, "query_id: 1000000000000000000000000000000 is no text"),
        ({"author": None}, "author: None is no text"),
        ({"probabilities": [math.nan, 0.5, 0.5]}, "probabilities: nan"),
        ({"probabilities": [2, -1, 0]}, "probabilities: 2"),
        ({"probabilities": [0.9, 0.9, 0.9]}, "sum of 1"),
        ({"score": math.inf}, "score: inf is no finite number"),
        ({"score": "high"}, "score: 'high' is no"),
        ({"weight": 0}, "weight is 0"),
        ({"weight": -1}, "weight: -1"),
        ({"weight": True}, "weight: True"),
        ({"split": "test"}, "split is 'test'"),
        ({"probabilities": [0.5, 0.5]}, ""),
        ({"probabilities": 1}, ""),
    ],
)
def test_a_wrong_value_is_told_with_its_line(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    write_judgments(written(), tmp_path)
    lines = (tmp_path / FILE).read_text("utf-8").split("\n")
    lines[2] = json.dumps({**json.loads(lines[2]), **change})
    (tmp_path / FILE).write_text("\n".join(lines), "utf-8")
    with pytest.raises(InputError) as caught:
        read_judgments(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / FILE}:3: not a judgment")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ["", "{", "[1, 2]", '"text"', "null", '{"query_id": "q"}', "[" * 200_000, "9" * 5000],
    ids=lambda line: line[:9],
)
def test_a_line_that_is_no_judgment_is_told(tmp_path: Path, line: str) -> None:
    write_judgments(written()[:1], tmp_path)
    with (tmp_path / FILE).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(InputError, match=r"judgments\.jsonl:2: "):
        read_judgments(tmp_path)


@pytest.mark.parametrize("column", [name for name in COLUMNS if name not in ("origin", "agreement", "conflict")])
def test_a_column_that_is_missing_is_named(tmp_path: Path, column: str) -> None:
    write_judgments(written()[:1], tmp_path)
    row = json.loads((tmp_path / FILE).read_text("utf-8"))
    del row[column]
    (tmp_path / FILE).write_text(json.dumps(row), "utf-8")
    with pytest.raises(InputError, match=f"judgments.jsonl:1: .*'{column}'"):
        read_judgments(tmp_path)


def test_what_generate_knows_of_a_judgment_stands_beside_it(tmp_path: Path) -> None:
    examples = rule.examples(5, queries=1, documents=2)
    marks = [Mark("accepted_answer", 0.6, True), Mark("hard_negative", None, False)]
    write_judgments(examples, tmp_path, marks)
    rows = [json.loads(line) for line in (tmp_path / FILE).read_text("utf-8").splitlines()]
    assert [(row["origin"], row["agreement"], row["conflict"]) for row in rows] == [
        ("accepted_answer", 0.6, True),
        ("hard_negative", None, False),
    ]
    assert read_judgments(tmp_path) == examples


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path) -> None:
    write_judgments(written()[:2], tmp_path)
    first, second, _ = (tmp_path / FILE).read_bytes().split(b"\n")
    (tmp_path / FILE).write_bytes(first + b"\n" + second.replace(b"reasoning", b"reas\xffning") + b"\n")
    with pytest.raises(InputError, match=r"judgments\.jsonl:2"):
        read_judgments(tmp_path)


def test_half_characters_get_a_mark_in_every_file(tmp_path: Path) -> None:
    (example,) = written()[:1]
    odd = replace(example, judgment=replace(example.judgment, reasoning="half \ud800."))
    write_judgments([odd], tmp_path)
    (found,) = read_judgments(tmp_path)
    assert found.judgment.reasoning == "half \ufffd."
    (row,) = pyarrow.parquet.read_table(tmp_path / PARQUET["train"]).to_pylist()
    assert row["reasoning"] == "half \ufffd."


def test_questions_are_grouped_though_their_documents_lie_apart() -> None:
    first, second, third = rule.examples(0, queries=1, documents=3)
    other = replace(first, query=Query("other", "Where is the owl?"))
    assert by_question([first, other, second, third]) == [[first, second, third], [other]]
    pairs = [Pair(item.query, item.document, "train", "answer", item.source) for item in (first, other, second)]
    assert by_question(pairs) == [[pairs[0], pairs[2]], [pairs[1]]]
    grades = tuple(int(item.judgment.relevance) for item in (first, second))
    assert JudgedList.of([first, second]) == JudgedList(
        first.query, (first.document, second.document), grades, first.split
    )
