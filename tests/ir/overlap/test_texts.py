"""The texts of a benchmark are found in whatever layout it comes."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from interank.errors import InputError
from interank.ir.overlap import BenchmarkTexts, read_texts

BRIGHT: dict[str, Any] = {
    "query": "Why is the sky blue?\n\nI wonder.",
    "reasoning": "r",
    "id": "0",
    "excluded_ids": ["N/A"],
    "gold_ids_long": ["sky/a.txt"],
    "gold_ids": ["sky/a_0.txt"],
    "gold_answer": "Because of scattering.",
}


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), path)
    else:
        path.write_text(text, "utf-8")


def shape(found: Sequence[BenchmarkTexts]) -> list[tuple[str, str, list[str], list[str] | None]]:
    return [
        (
            texts.name,
            texts.task,
            [query.query_id for query in texts.queries],
            [document.doc_id for document in texts.documents()] if texts.documents else None,
        )
        for texts in found
    ]


def test_beirs_layout_with_several_splits(tmp_path: Path) -> None:
    folder = tmp_path / "facts-1"
    write(folder / "corpus.jsonl.gz", [{"_id": "d1", "title": "T", "text": "x"}, {"_id": "d2", "text": "y"}])
    write(folder / "queries.test.jsonl", [{"_id": "q1", "text": "one"}, {"_id": "q2", "text": " "}])
    write(folder / "queries.train.jsonl", [{"_id": "q1", "text": "one"}, {"_id": 3, "text": "three"}])
    found = read_texts(folder)
    assert shape(found) == [("facts_1", "facts_1", ["q1", "3"], ["d1", "d2"])]
    assert found[0].documents is not None
    # Streamed anew each time.
    assert [document.text for document in found[0].documents()] == ["T\nx", "y"]
    assert [document.text for document in found[0].documents()] == ["T\nx", "y"]


def test_brights_rows_have_queries_only(tmp_path: Path) -> None:
    write(tmp_path / "sustainable-living.jsonl.gz", [BRIGHT])
    write(tmp_path / "pony.jsonl", [{**BRIGHT, "gold_answer": "N/A"}])
    found = read_texts(tmp_path)
    assert shape(found) == [("bright", "pony", ["0"], None), ("bright", "sustainable_living", ["0"], None)]
    assert [texts.queries[0].answer for texts in found] == ["", "Because of scattering."]
    assert shape(read_texts(tmp_path / "pony.jsonl")) == [("bright", "pony", ["0"], None)]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_brights_hub_layout(tmp_path: Path, ending: str) -> None:
    write(tmp_path / "examples" / f"biology-00000-of-00001.{ending}", [BRIGHT])
    write(tmp_path / "examples" / f"earth_science-00000-of-00001.{ending}", [BRIGHT])
    for part in range(2):
        rows = [{"id": f"sky/a_{part}.txt", "content": "blue"}]
        write(tmp_path / "documents" / f"biology-0000{part}-of-00002.{ending}", rows)
    write(tmp_path / "long_documents" / f"biology-00000-of-00001.{ending}", [{"id": "sky/a.txt", "content": "blue"}])
    assert shape(read_texts(tmp_path)) == [
        ("bright", "biology", ["0"], ["sky/a_0.txt", "sky/a_1.txt"]),
        ("bright", "earth_science", ["0"], None),
    ]


def test_rankgpts_json_and_topics(tmp_path: Path) -> None:
    hits = [{"content": "c", "qid": 7, "docid": "p1", "rank": 1, "score": 2.0}]
    items = [{"query": "what is x", "hits": hits}, {"query": "what is y", "hits": [{**hits[0], "qid": 8}]}]
    (tmp_path / "dl19.json").write_text(json.dumps(items), "utf-8")
    (tmp_path / "topics.dl19.txt").write_text("7\twhat is x\n8\twhat is y\n", "utf-8")
    (tmp_path / "qrels.dl19.txt").write_text("7 0 p1 1\n", "utf-8")
    (tmp_path / "run.dl19.trec").write_text("7 Q0 p1 1 2.0 tag\n", "utf-8")
    name = tmp_path.name.replace("-", "_")
    assert shape(read_texts(tmp_path)) == [
        (name, "dl19", ["7", "8"], ["p1"]),
        (name, "topics.dl19", ["7", "8"], None),
    ]


def test_topics_as_trec_marks_them_up(tmp_path: Path) -> None:
    path = tmp_path / "topics.301-302.txt"
    path.write_text(
        "<top>\n<num> Number: 301\n<title> organized crime\n<desc> Description:\nx\n</top>\n"
        "<top>\n<num> Number: 302\n<title> poliomyelitis\n</top>\n",
        "utf-8",
    )
    queries = read_texts(path)[0].queries
    assert [(query.query_id, query.text) for query in queries] == [("301", "organized crime"), ("302", "poliomyelitis")]


def test_a_folder_of_benchmarks(tmp_path: Path) -> None:
    write(tmp_path / "beir" / "a" / "queries.jsonl", [{"_id": "q", "text": "x"}])
    write(tmp_path / "beir" / "b" / "corpus.jsonl", [{"_id": "d", "text": "x"}])
    write(tmp_path / "bright" / "aops.jsonl", [BRIGHT])
    (tmp_path / "bright" / "qrels.txt").write_text("0 0 d 1\n", "utf-8")
    assert shape(read_texts(tmp_path)) == [
        ("a", "a", ["q"], None),
        ("b", "b", [], ["d"]),
        ("bright", "aops", ["0"], None),
    ]


def test_ids_and_addresses_are_kept(tmp_path: Path) -> None:
    post = "https://math.stackexchange.com/q/7"
    row = {**BRIGHT, "gold_ids": ["sky/a_0.txt", post], "url": "https://math.stackexchange.com/q/6"}
    write(tmp_path / "x.jsonl", [row])
    query = read_texts(tmp_path)[0].queries[0]
    assert query.doc_ids == (post,)
    assert query.names == ("https://math.stackexchange.com/q/6",)


def test_cqadupstacks_ids_are_post_ids(tmp_path: Path) -> None:
    write(tmp_path / "cqadupstack" / "android" / "queries.jsonl", [{"_id": "11546", "text": "x"}])
    assert [texts.site for texts in read_texts(tmp_path)] == ["android"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nothing", None, "does not exist"),
        ("readme.md", b"# hello", "texts"),
        ("queries.jsonl", b'{"_id": "1", "text": "x"}\n{"_id": \n', "queries.jsonl:2"),
        ("queries.jsonl", b'["x"]\n', "queries.jsonl:1"),
        ("queries.jsonl", b"\xff\xfe{}", "not UTF-8"),
        ("queries.parquet", b"PAR1 and no more", "cannot be read as Parquet"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_texts(tmp_path / name if content is None else tmp_path)
