"""`interank artifacts` lists outputs with what they are of, and removes the unfinished ones alone."""

from __future__ import annotations

import json
import multiprocessing
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest

from interank.artifact import Workplace, create, describe_input
from interank.cli.app import main
from interank.locks import held

Capture = pytest.CaptureFixture[str]


def begun(out: Path, *, work: str | None = None, inputs: dict[str, Any] | None = None) -> Workplace:
    """An output that was begun, perhaps with something to go on with."""
    place = create(out, "adapter", recipe={"stage": "distill"}, inputs=inputs or {})
    assert isinstance(place, Workplace)
    if work is not None:
        (place.work / "ledger.jsonl").write_text(work)
    return place


def made(out: Path, text: str = "weights", inputs: dict[str, Any] | None = None) -> Path:
    place = begun(out, inputs=inputs)
    (place.folder / "weights.txt").write_text(text)
    return place.finish(seed=0, counts={}).path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A finished output, one made from it, and two unfinished ones, one of them with work."""
    folder = tmp_path / "runs"
    first = made(folder / "first")
    made(folder / "deep" / "second", "more weights", {"adapter": describe_input(first, folder / "deep" / "second")})
    begun(folder / "later", work="{}\n")
    begun(folder / "never")
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("mine")
    (folder / "linked").symlink_to(first)
    return folder


def listed(capsys: Capture, *words: str | Path) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    assert main(["artifacts", *map(str, words), "--json"]) == 0
    return {Path(row["path"]).name: row for row in json.loads(capsys.readouterr().out)}


def test_outputs_are_listed_with_kind_size_date_and_inputs(capsys: Capture, runs: Path) -> None:
    found = listed(capsys, runs)
    assert set(found) == {"first", "second", "later", "never"}
    assert {name: row["unfinished"] is None for name, row in found.items()} == {
        "first": True,
        "second": True,
        "later": False,
        "never": False,
    }
    assert (found["first"]["kind"], found["later"]["kind"]) == ("adapter", "distill")
    assert "resume" in found["later"]["unfinished"]
    assert "resume" not in found["never"]["unfinished"]
    assert found["second"]["made_from"] == [f"adapter {(runs / 'first').resolve()}"]
    files = (path for path in (runs / "first").iterdir())
    assert found["first"]["size"] == sum(path.stat().st_size for path in files)


def test_the_table_has_a_line_for_each_and_marks_an_input_that_is_gone(capsys: Capture, runs: Path) -> None:
    (runs / "first").rename(runs.parent / "moved")
    capsys.readouterr()
    assert main(["artifacts", str(runs)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert "size" in head
    assert [next(name for name in ("second", "later", "never") if name in line) for line in lines] == [
        "second",
        "later",
        "never",
    ]
    assert "gone" in lines[0]


def test_clean_removes_the_unfinished_and_nothing_else(capsys: Capture, runs: Path) -> None:
    before = {path for path in runs.rglob("*") if ".partial" not in str(path) and not path.name.endswith(".lock")}
    assert set(listed(capsys, runs, "--clean")) == {"later", "never"}
    after = {path for path in runs.rglob("*") if not path.name.endswith(".lock")}
    assert after == before
    assert set(listed(capsys, runs)) == {"first", "second"}
    assert listed(capsys, runs, "--clean") == {}


def test_what_an_unfinished_output_was_about_to_replace_gets_back_to_its_place(capsys: Capture, runs: Path) -> None:
    # As a kill between the last two steps leaves it.
    place = create(runs / "first", "adapter", recipe={"stage": "distill"}, inputs={}, existing="overwrite")
    assert isinstance(place, Workplace)
    (place.work / "ledger.jsonl").write_text("{}\n")
    (runs / "first").rename(place.partial.replaced)
    assert "first" in listed(capsys, runs, "--clean")
    assert (runs / "first" / "weights.txt").read_text() == "weights"


def _hold(out: Path, taken: Event, done: Event) -> None:
    with held(out):
        taken.set()
        done.wait(60)


def test_what_a_process_is_making_is_left_alone(capsys: Capture, runs: Path) -> None:
    spawned = multiprocessing.get_context("spawn")
    taken, done = spawned.Event(), spawned.Event()
    process = spawned.Process(target=_hold, args=(runs / "later", taken, done))
    process.start()
    try:
        assert taken.wait(60)
        capsys.readouterr()
        assert main(["artifacts", str(runs), "--clean"]) == 0
        out, said = capsys.readouterr()
        assert str(process.pid) in said
        assert "never" in out
        assert (runs / ".later.partial" / "work" / "ledger.jsonl").exists()
    finally:
        done.set()
        process.join()


def test_a_hidden_folder_of_another_program_is_left_alone(capsys: Capture, runs: Path) -> None:
    (runs / ".download.partial").mkdir()
    (runs / ".download.partial" / "half.bin").write_bytes(b"half")
    assert "download" not in listed(capsys, runs)
    assert "download" not in listed(capsys, runs, "--clean")
    assert (runs / ".download.partial" / "half.bin").exists()
    # One that has not begun yet.
    (runs / ".upload.partial").mkdir()
    assert "upload" not in listed(capsys, runs)
    assert "upload" not in listed(capsys, runs, "--clean")
    assert (runs / ".upload.partial").is_dir()


def test_a_folder_that_is_not_there_or_holds_nothing_is_told(capsys: Capture, tmp_path: Path) -> None:
    assert main(["artifacts", str(tmp_path / "nowhere")]) == 1
    assert str(tmp_path / "nowhere") in capsys.readouterr().err
    assert main(["artifacts", str(tmp_path)]) == 0
    out, said = capsys.readouterr()
    assert (out, str(tmp_path) in said) == ("", True)


def test_without_a_folder_it_is_the_current_one(capsys: Capture, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    assert set(listed(capsys)) == {"first", "second", "later", "never"}
    assert listed(capsys)["second"]["made_from"] == ["adapter first"]
