"""What watches a process for changes that it makes notices each kind of them, and no reading."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHANGES = {
    "a file opened to be written": "(here / 'new').open('w')",
    "a file opened to be written to": "(here / 'there').open('a')",
    "a file opened by number": "os.open(here / 'there', os.O_RDWR)",
    "a file cut short": "os.truncate(here / 'there', 0)",
    "a folder made": "(here / 'folder').mkdir()",
    "a file renamed": "(here / 'there').rename(here / 'other')",
    "a file moved in": "(outside / 'file').rename(here / 'there')",
    "a file moved out": "(here / 'there').rename(outside / 'file')",
    "a file removed": "(here / 'there').unlink()",
    "a folder removed": "shutil.rmtree(here / 'full')",
    "a database": "sqlite3.connect(here / 'rows.sqlite')",
    "weights of safetensors": "safetensors.torch.save_file({'w': torch.ones(1)}, here / 'w.safetensors')",
    "an object of torch's": "torch.save({}, here / 'rng_state_1.pth')",
    "a file in the folder one is in": "os.chdir(here); open('new', 'w')",
}
QUIET = {
    "a file read": "(here / 'there').read_bytes()",
    "a folder that is there": "(here / 'full').mkdir(exist_ok=True); os.makedirs(here / 'full', exist_ok=True)",
    "a file elsewhere": "(outside / 'file').write_text('')",
}
PROGRAM = """
import os, shutil, sqlite3, sys
from contextlib import suppress
from pathlib import Path
import safetensors.torch, torch
from tests.support.writes import record
here, outside, told = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
record([here], told)
for change in sys.argv[4:]:
    with told.open("a") as stream:
        stream.write(f"= {change}\\n")
    exec(change)
"""


@pytest.fixture(scope="module")
def noticed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The lines of each change."""
    found: dict[str, list[str]] = {}
    # Those that need the file to be there come before those that take it away.
    folder = tmp_path_factory.mktemp("writes")
    here, outside, told = folder / "here", folder / "outside", folder / "told.txt"
    here.mkdir()
    outside.mkdir()
    (here / "full").mkdir()
    (here / "there").touch()
    (outside / "file").touch()
    again = "(here / 'there').touch(); (outside / 'file').touch()"
    asked = [each for change in (*QUIET.values(), *CHANGES.values()) for each in (again, change)]
    subprocess.run([sys.executable, "-c", PROGRAM, str(here), str(outside), str(told), *asked], check=True)
    for block in told.read_text().split("= ")[1:]:
        change, *lines = block.splitlines()
        found.setdefault(change, lines)
    return found


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_noticed(noticed: dict[str, list[str]], what: str) -> None:
    assert noticed[CHANGES[what]]


@pytest.mark.parametrize("what", QUIET)
def test_what_changes_nothing_there_is_not(noticed: dict[str, list[str]], what: str) -> None:
    assert noticed[QUIET[what]] == []
