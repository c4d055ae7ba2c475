"""Explanations with marks come back as they were written, and a row that is none is told by its number."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from interank.errors import InputError
from interank.explanations import COLUMNS, FAULTS, FILE, KINDS, ExplanationRow, read_explanations, write_explanations

HONEST = ExplanationRow(
    query_id="q1",
    doc_id="d1",
    query="Why does bread collapse?",
    document="Steam softens the crumb.",
    split="train",
    site="cooking",
    relevance=2,
    explanation="It says that steam softens the crumb.",
    writer="teacher",
    kind="honest",
    mark=0.85,
    marks=(0.8, 0.9),
    dropped=None,
    marked_by="a/teacher",
)
FAULT = replace(HONEST, explanation="Buy cheap pills.", writer="program", kind="template", mark=0.0, marks=(0.0, 0.0))
DROPPED = replace(HONEST, split="validation", mark=None, marks=(), dropped="unreadable")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_explanations([HONEST, FAULT, DROPPED], tmp_path)
    assert read_explanations(tmp_path) == [HONEST, FAULT, DROPPED]
    assert read_explanations(tmp_path, "train") == [HONEST, FAULT]
    assert read_explanations(tmp_path, "validation") == [DROPPED]


def test_half_a_character_is_written_as_a_mark(tmp_path: Path) -> None:
    write_explanations([replace(HONEST, document="half \ud83d of one")], tmp_path)
    assert read_explanations(tmp_path)[0].document == "half \N{REPLACEMENT CHARACTER} of one"
    write_explanations([replace(HONEST, reasons=("true", "half \ud83d of one"))], tmp_path)
    assert read_explanations(tmp_path)[0].reasons == ("true", "half \N{REPLACEMENT CHARACTER} of one")


def test_a_kind_is_honest_or_a_fault() -> None:
    assert ("honest", *FAULTS) == KINDS
    assert len(FAULTS) == 9


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"kind": "nonsense"}, "kind is 'nonsense', where one of honest, other_document"),
        ({"writer": "somebody"}, "writer is 'somebody', where one of teacher, student, program is needed"),
        ({"kind": "padding"}, "writer is teacher, but kind padding is a fault, and faults are written by the program"),
        ({"split": "test"}, "split is 'test', where one of train, validation is needed"),
        ({"dropped": "lost"}, "dropped is 'lost', where one of null, contradicted"),
        ({"mark": 1.5}, "mark: 1.5 is no finite number"),
        ({"mark": float("nan")}, "mark: nan is no finite number"),
        ({"mark": None}, "mark is null, but dropped does not say why"),
        ({"dropped": "failed"}, "mark is 0.85, where null is needed, since dropped is failed"),
        ({"marks": [0.5, 7.0]}, "marks: 7.0 is no finite number"),
        ({"marks": None}, "marks is None, where a list is needed"),
        ({"relevance": 3}, "relevance: 3 is no integer from 0 to 2"),
        ({"explanation": "  "}, "explanation is empty"),
        ({"query": None}, "query: None is no text"),
        ({"marked_by": ""}, "marked_by is empty"),
    ],
)
def test_a_row_that_is_no_explanation_is_told_by_its_number(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    rows = [asdict(HONEST), {**asdict(HONEST), **changed}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / FILE)
    with pytest.raises(InputError) as caught:
        read_explanations(tmp_path)
    assert "row 2 is no marked explanation" in str(caught.value)
    assert told in str(caught.value)


def test_missing_damaged_and_empty_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no explanations\.parquet; make one with interank generate"):
        read_explanations(tmp_path)
    (tmp_path / FILE).write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_explanations(tmp_path)
    write_explanations([], tmp_path)
    with pytest.raises(InputError, match="holds no explanation"):
        read_explanations(tmp_path)
    lacking = [name for name in COLUMNS if name != "marks"]
    row = {name: value for name, value in asdict(HONEST).items() if name in lacking}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / FILE)
    with pytest.raises(InputError, match="has no column marks; query_id"):
        read_explanations(tmp_path)
