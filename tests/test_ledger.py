"""The ledger survives a kill in the middle of a line."""

from __future__ import annotations

from pathlib import Path

from interank.ledger import Ledger


def test_a_torn_last_line_is_dropped_and_written_over(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.jsonl")
    assert ledger.rows() == []
    ledger.append([{"a": 1}, {"a": 2}])
    with ledger.path.open("ab") as stream:
        stream.write(b'{"a": 3')
    assert ledger.rows() == [{"a": 1}, {"a": 2}]
    ledger.append([{"a": 3}])
    assert ledger.rows() == [{"a": 1}, {"a": 2}, {"a": 3}]
