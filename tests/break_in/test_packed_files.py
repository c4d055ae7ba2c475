"""Packed files that unpack to gigabytes, and archives that hold a thing twice: a sentence in little memory."""

from __future__ import annotations

import gc
import gzip
import random
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import py7zr
import pyarrow
import pyarrow.parquet
import pytest

from interank import machine
from interank.errors import InputError
from interank.ir import limits
from interank.ir.benchmarks.rankgpt import read_rankgpt
from interank.ir.benchmarks.rows import read_rows
from interank.ir.overlap.texts import _rows, read_texts
from interank.ir.trec import numbered_lines, read_run_file
from interank.mining.stackexchange import find_dumps
from interank.tables.reading import Table

MEGABYTE = 1 << 20


def free(megabytes: int) -> Callable[[], int]:
    """A machine with so much memory left."""
    return lambda: megabytes * MEGABYTE


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
    monkeypatch.setattr(machine, "free_memory", free(256))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"rows\.jsonl\.gz:1: the line is longer than 64 MB, unpacked"):
        READERS[name](bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250 << 10


def test_the_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "most_in_line", lambda: 1000)
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n" * 3 + "a" * 2000)
    with pytest.raises(InputError, match=r"rows\.jsonl:4: "):
        list(numbered_lines(path))
    path.write_text(("a" * 990 + "\n") * 3)
    assert len(list(numbered_lines(path))) == 3


def test_a_line_may_be_longer_where_there_is_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "free_memory", free(1024))
    assert limits.most_in_line() == 64 * MEGABYTE
    monkeypatch.setattr(machine, "free_memory", free(64 * 1024))
    assert limits.most_in_line() == 1024 * MEGABYTE


def test_json_that_is_read_as_a_whole_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.json"
    path.write_text("[\n" + "{},\n" * 1000 + "{}]")
    assert len(list(Table(path).rows())) == 1001
    monkeypatch.setattr(limits, "most_at_once", lambda: 1000)
    with pytest.raises(InputError, match=r"rows\.json holds more than 0 MB, unpacked; it has to be read as a whole"):
        list(Table(path).rows())


def test_a_whole_files_json_may_stand_on_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "most_in_line", lambda: 1000)
    hit = '{"content": "' + "a" * 1500 + '", "qid": 1, "docid": "d1", "rank": 1, "score": 2.0}'
    path = tmp_path / "candidates.json"
    path.write_text(f'\ufeff[{{"query": "q", "hits": [{hit}]}}]')
    assert list(read_rankgpt(path)[1]) == ["d1"]
    assert len(list(Table(path).rows())) == 1
    assert [len(document.text) for texts in read_texts(path) for document in (texts.documents or list)()] == [1500]
    path.write_bytes(b'[\n{"query": "\xff"}]')
    with pytest.raises(InputError, match=r"candidates\.json:2: the line has bytes that are not UTF-8"):
        read_rankgpt(path)


COPIES, SIZE = 40, 8 * MEGABYTE


def repeated(path: Path, encoding: str, text: str) -> Path:
    """One row group of COPIES rows, all with the same text, which its bytes hold once."""
    copies = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * COPIES), pyarrow.array([text]))
    table = pyarrow.table({"text": copies if encoding == "dictionary" else copies.cast(pyarrow.string())})
    options = {"dictionary_pagesize_limit": 1 << 30, "store_schema": False, "compression": "zstd"}
    options |= {} if encoding == "dictionary" else {"use_dictionary": False, "column_encoding": {"text": encoding}}
    pyarrow.parquet.write_table(table, path, **options)
    return path


REPEATING = {
    "a dictionary packed to nothing": ("dictionary", "a" * SIZE),
    "a dictionary that cannot be packed": ("dictionary", random.Random(1).randbytes(SIZE // 2).hex()),
    "texts told by what the one before has": ("DELTA_BYTE_ARRAY", "a" * SIZE),
}
PARQUET_READERS: dict[str, Callable[[Path], Iterator[object]]] = {
    "benchmark": lambda path: read_rows([path]),
    "table": lambda path: Table(path).rows(),
    "overlap": _rows,
}


@pytest.mark.parametrize("repeating", REPEATING)
def test_values_that_unpack_to_much_are_read_few_at_a_time(
    tmp_path: Path, repeating: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = repeated(tmp_path / "rows.parquet", *REPEATING[repeating])
    assert path.stat().st_size < SIZE + MEGABYTE
    monkeypatch.setattr(machine, "free_memory", free(16 * 8))
    for reader in PARQUET_READERS.values():
        pyarrow.default_memory_pool().release_unused()
        gc.collect()
        before = pyarrow.total_allocated_bytes()
        rows = reader(path)
        most = max(pyarrow.total_allocated_bytes() - before for _ in rows)
        # All at once are 320 MB.
        assert most < 100 * MEGABYTE


def test_ordinary_rows_are_read_many_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": [f"text {number}" for number in range(3000)]}), path)
    monkeypatch.setattr(machine, "free_memory", free(1024))
    with pyarrow.parquet.ParquetFile(path) as table:
        sizes = [batch.num_rows for batch in limits.parquet_batches(table, path, 1024)]
    assert sizes == [1024, 1024, 952]


def test_a_column_that_unpacks_to_more_than_can_be_held_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = repeated(tmp_path / "rows.parquet", "dictionary", "a" * SIZE)
    monkeypatch.setattr(machine, "free_memory", free(4 * 4))
    with pytest.raises(InputError, match="row group 1 takes 8 MB unpacked, and the free memory allows 4 MB"):
        list(read_rows([path]))


def test_an_archive_with_two_posts_names_both(tmp_path: Path) -> None:
    posts = tmp_path / "Posts.xml"
    posts.write_text("<posts>\n</posts>\n")
    path = tmp_path / "x.stackexchange.com.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.write(posts, "Posts.xml")
        archive.write(posts, "older/Posts.xml")
    with pytest.raises(InputError, match=r"holds Posts\.xml twice, as Posts\.xml and as older/Posts\.xml"):
        find_dumps(path)
