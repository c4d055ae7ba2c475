"""Training queries from Tevatron's layout and from triples, plain and gzip, and what is wrong with a file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from interank.errors import InputError
from interank.tasks.head.groups import read_groups

ROW = {
    "query_id": "17",
    "query": "who wrote it?",
    "positive_passages": [{"docid": "5", "title": "A book", "text": "Ann wrote it."}],
    "negative_passages": [
        {"docid": "8", "title": "-", "text": "Nobody reads it."},
        {"docid": "9", "text": "Ben read it."},
        {"docid": "5", "title": "A book", "text": "Ann wrote it."},
    ],
}


def written(path: Path, *rows: Any) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_tevatrons_rows_are_read_and_a_passage_on_both_sides_is_a_positive(tmp_path: Path) -> None:
    (found,) = read_groups(written(tmp_path / "train.jsonl.gz", ROW))
    assert (found.query.query_id, found.query.text) == ("17", "who wrote it?")
    assert [(d.doc_id, d.title, d.text) for d in found.documents] == [
        ("5", "A book", "Ann wrote it."),
        ("8", "", "Nobody reads it."),
        ("9", "", "Ben read it."),
    ]
    assert found.grades == (2, 0, 0)


def test_a_folders_files_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl.gz"):
        written(tmp_path / "rows" / name, {**ROW, "query_id": name})
    (tmp_path / "rows" / "README.md").write_text("not data")
    assert [item.query.query_id for item in read_groups(tmp_path / "rows")] == ["a.jsonl.gz", "b.jsonl"]


def test_triples_of_a_query_that_follow_each_other_are_one_list(tmp_path: Path) -> None:
    file = tmp_path / "triples.tsv"
    file.write_text("one?\tyes\tno\none?\tyes\tnever\none?\tno\tmaybe\ntwo?\tyes\tno\n")
    one, two = read_groups(file)
    assert [document.text for document in one.documents] == ["yes", "no", "never", "maybe"]
    # What one triple calls relevant stays so, whatever another says.
    assert one.grades == (2, 2, 0, 0)
    assert two.grades == (2, 0)
    # A text has the same name wherever it stands.
    assert one.documents[0].doc_id == two.documents[0].doc_id
    assert one.query.query_id != two.query.query_id


def test_triples_as_json_may_have_several_negatives(tmp_path: Path) -> None:
    rows = [{"anchor": "one?", "positive": "yes", "negative": ["no", "never"]}]
    (found,) = read_groups(written(tmp_path / "t.jsonl", *rows))
    assert [document.text for document in found.documents] == ["yes", "no", "never"]
    assert found.grades == (2, 0, 0)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"query": "q", "text": "d"}, r"t\.jsonl:1.*query, text.*positive_passages"),
        ({**ROW, "negative_passages": None}, "negative_passages is None"),
        ({**ROW, "query": " "}, "query"),
        ({**ROW, "negative_passages": [{"docid": "5", "text": "Other."}]}, "document '5'.*different texts"),
        ({"query": "q", "positive": "d", "negative": 3}, "negative is 3"),
        ({"query": "q", "positive": "d", "negative": ["a", "\ud800"]}, "the negative holds .*half a character"),
        ({"query": "q", "positive": "\ud800", "negative": "a"}, "the positive holds .*half a character"),
    ],
)
def test_what_is_wrong_with_a_row_is_told_with_its_place(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        list(read_groups(written(tmp_path / "t.jsonl", row)))


def test_a_line_that_is_no_triple_and_a_folder_without_data_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("1\t2\t3\n4\t5\n")
    with pytest.raises(InputError, match=r"t\.tsv:2"):
        list(read_groups(tmp_path / "t.tsv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.jsonl"):
        list(read_groups(tmp_path / "empty"))
