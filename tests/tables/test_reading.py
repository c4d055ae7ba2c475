"""A row is the same whatever file it stands in, and a file that cannot be read is told with its line."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from interank.errors import InputError
from interank.tables import CutShortError, Row, Table, find_table

ROWS = [{"id": "1", "text": "one, two"}, {"id": "2", "text": 'said "so"\nand went'}, {"id": "3", "text": None}]


def read(path: Path) -> list[Row]:
    return list(Table(path).rows())


def test_all_formats_give_the_same_rows(tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "t.jsonl").write_text("\ufeff" + lines)
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "t.json").write_text(json.dumps(ROWS))
    (tmp_path / "d.json").write_text(json.dumps({"version": 1, "data": ROWS}))
    quoted = 'id,text\r\n1,"one, two"\r\n2,"said ""so""\nand went"\r\n3,\r\n'
    (tmp_path / "t.csv").write_text("\ufeff" + quoted, newline="")
    (tmp_path / "semicolons.csv").write_text('id;text\n1;one, two\n2;"said ""so""\nand went"\n3;\n')
    (tmp_path / "t.tsv").write_text('id\ttext\n1\tone, two\n2\t"said ""so""\nand went"\n3\t\n')
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "t.parquet")
    for path in sorted(tmp_path.iterdir()):
        assert [row.values for row in read(path)] == ROWS, path.name


def test_places_are_lines_where_the_file_has_lines(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,text\n1,"a\nb"\n2,c\n')
    assert [row.number for row in read(tmp_path / "t.csv")] == [2, 4]
    assert Table(tmp_path / "t.csv").where(4).endswith("t.csv:4")
    assert Table(tmp_path / "t.parquet").where(4).endswith("t.parquet: row 4")


def test_a_faulty_row_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,text\n1,a,b\n2,c\n")
    first, second = read(tmp_path / "t.csv")
    assert re.search("3 fields.* 2$", str(first.values))
    assert second == Row(3, {"id": "2", "text": "c"})
    (tmp_path / "t.jsonl").write_text('{"id": 1}\n\n[2]\n')
    assert [type(row.values) for row in read(tmp_path / "t.jsonl")] == [dict, ValueError]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", b"id,id\n1,2\n", r"t\.csv:1: the first line names the column 'id' twice"),
        ("t.csv", b"", "is empty"),
        ("t.csv", b'id\n"a\n', "the quotes do not match"),
        ("t.csv", b"id\ncaf\xe9\n", r"t\.csv:2"),
        ("t.json", b"{", "is not JSON"),
        ("t.json", b'{"a": 1}', "a list of objects"),
        ("t.parquet", b"none", "cannot be read as Parquet"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=told):
        read(tmp_path / name)


def test_a_cut_file_gives_what_stood_before(tmp_path: Path) -> None:
    packed = gzip.compress("".join(json.dumps({"n": n}) + "\n" for n in range(50_000)).encode())
    (tmp_path / "t.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    rows = Table(tmp_path / "t.jsonl.gz").rows()
    assert next(rows) == Row(1, {"n": 0})
    with pytest.raises(CutShortError, match="breaks off"):
        list(rows)


def test_what_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n")
    (tmp_path / "Posts.xml").write_text("<posts/>")
    assert find_table(tmp_path / "t.csv") == Table(tmp_path / "t.csv")
    assert find_table(tmp_path / "Posts.xml") is None
    assert find_table(tmp_path) is None
    assert find_table(Path("owner/name")) == Table(Path("owner/name"))
    assert find_table(Path("folder/missing.csv")) is None
