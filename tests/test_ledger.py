"""The ledger survives a kill in the middle of a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from interank.errors import InputError
from interank.ledger import Ledger, read_rows


def test_a_torn_last_line_is_dropped_and_written_over(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.jsonl")
    assert ledger.rows() == []
    ledger.append([{"a": 1}, {"a": 2}])
    with ledger.path.open("ab") as stream:
        stream.write(b'{"a": 3')
    assert ledger.rows() == [{"a": 1}, {"a": 2}]
    ledger.append([{"a": 3}])
    assert ledger.rows() == [{"a": 1}, {"a": 2}, {"a": 3}]


@pytest.mark.parametrize(
    "content",
    [b"a note", b"a note\nof two lines\n", b"\x00\x01\xff", b"1\n", b'[{"a": 1}]\n', b'{"a": 1}\nnot a row\n', b"{]\n"],
)
def test_a_file_that_is_no_ledger_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "note.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"note\.txt:\d"):
        Ledger(file).rows()
    with pytest.raises(InputError, match=r"note\.txt:\d"):
        read_rows(file)
    assert file.read_bytes() == content


def test_what_is_only_read_is_not_cut(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1}\n\n{"a": 2}')
    assert read_rows(file) == [{"a": 1}, {"a": 2}]
    assert file.read_text() == '{"a": 1}\n\n{"a": 2}'
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path / "none")
    with pytest.raises(InputError, match="cannot be read"):
        Ledger(tmp_path).rows()
