"""Packed files that unpack to gigabytes, and archives that hold a thing twice: a sentence in little memory."""

from __future__ import annotations

import gzip
import resource
from collections.abc import Callable
from pathlib import Path

import py7zr
import pyarrow
import pyarrow.parquet
import pytest

from interank.errors import InputError
from interank.ir import limits
from interank.ir.benchmarks.rows import read_rows
from interank.ir.overlap.texts import _rows
from interank.ir.trec import numbered_lines, read_run_file
from interank.mining.stackexchange import find_dumps
from interank.tables.reading import Table

MEGABYTE = 1 << 20


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """A third of a megabyte that is one line of 300."""
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(b'{"_id": "a", "text": "')
        for _ in range(300):
            file.write(b"a" * MEGABYTE)
        file.write(b'"}\n')
    return path


READERS: dict[str, Callable[[Path], object]] = {
    "lines": lambda path: list(numbered_lines(path)),
    "a benchmark's rows": lambda path: list(read_rows([path])),
    "a table": lambda path: list(Table(path).rows()),
    "a run": read_run_file,
}


@pytest.mark.parametrize("name", READERS)
def test_a_line_without_end_is_told_before_it_fills_the_memory(
    bomb: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interank.ir.trec.MOST_AT_ONCE", 32 * MEGABYTE)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"rows\.jsonl\.gz:1: the line is longer than 64 MB, unpacked"):
        READERS[name](bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250 << 10


def test_the_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_IN_LINE", 1000)
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n" * 3 + "a" * 2000)
    with pytest.raises(InputError, match=r"rows\.jsonl:4: "):
        list(numbered_lines(path))
    path.write_text(("a" * 990 + "\n") * 3)
    assert len(list(numbered_lines(path))) == 3


def test_json_that_is_read_as_a_whole_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.json"
    path.write_text("[\n" + "{},\n" * 1000 + "{}]")
    assert len(list(Table(path).rows())) == 1001
    monkeypatch.setattr(limits, "MOST_AT_ONCE", 1000)
    with pytest.raises(InputError, match="read as a whole; give its rows as JSONL"):
        list(Table(path).rows())


@pytest.fixture
def dictionary_bomb(tmp_path: Path) -> Path:
    """Some kilobytes in which one text of 20 MB stands 1,000 times."""
    path = tmp_path / "rows.parquet"
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 1000), pyarrow.array(["a" * (20 * MEGABYTE)]))
    schema = pyarrow.schema([("text", pyarrow.large_string())])
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd", dictionary_pagesize_limit=1 << 30) as writer:
        text = column.dictionary.cast(pyarrow.large_string())[0].as_py()
        for _ in range(10):
            writer.write_table(pyarrow.table({"text": pyarrow.array([text], pyarrow.large_string())}, schema))
    return path


@pytest.mark.parametrize("reader", ["benchmark", "table", "overlap"])
def test_values_that_unpack_to_much_are_read_one_at_a_time(dictionary_bomb: Path, reader: str) -> None:
    assert dictionary_bomb.stat().st_size < MEGABYTE
    read = {"benchmark": lambda path: read_rows([path]), "table": lambda path: Table(path).rows(), "overlap": _rows}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in read[reader](dictionary_bomb)) == 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 << 10


def test_a_column_that_unpacks_to_more_than_can_be_held_is_refused(
    dictionary_bomb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_AT_ONCE", 10 * MEGABYTE)
    with pytest.raises(InputError, match="the column text of row group 1 takes 20 MB unpacked"):
        list(read_rows([dictionary_bomb]))


def test_an_archive_with_two_posts_names_both(tmp_path: Path) -> None:
    posts = tmp_path / "Posts.xml"
    posts.write_text("<posts>\n</posts>\n")
    path = tmp_path / "x.stackexchange.com.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.write(posts, "Posts.xml")
        archive.write(posts, "older/Posts.xml")
    with pytest.raises(InputError, match=r"holds Posts\.xml twice, as Posts\.xml and as older/Posts\.xml"):
        find_dumps(path)
