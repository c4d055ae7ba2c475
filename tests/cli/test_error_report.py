"""An error that nobody foresaw ends a command with a sentence and a file, not with a traceback."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pytest

from interank.cli import score
from interank.cli.app import main


def broken(options: argparse.Namespace) -> int:
    raise ZeroDivisionError("by chance")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go; every verb `score` is broken."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(score, "_run", broken)
    return tmp_path


def test_its_traceback_goes_to_a_file_and_its_path_to_the_terminal(
    temporary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", "qrels", "run"]) == 1
    out, said = capsys.readouterr()
    [file] = temporary.iterdir()
    assert out == ""
    assert said.startswith("interank: ")
    assert said.count("\n") == 1
    assert [fact for fact in (str(file), "ZeroDivisionError", "by chance", "report") if fact not in said] == []
    assert "Traceback" not in said
    record = file.read_text("utf-8")
    assert [fact for fact in ("Traceback", "in broken", "ZeroDivisionError: by chance") if fact not in record] == []
    # Paths stand in it, and whoever shares the machine need not read them.
    assert file.stat().st_mode & 0o077 == 0


def test_where_no_file_can_be_written_it_goes_to_the_terminal(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "nowhere"))
    assert main(["score", "qrels", "run"]) == 1
    said = capsys.readouterr().err
    assert "in broken" in said
    assert said.splitlines()[-1].startswith("interank: ")
