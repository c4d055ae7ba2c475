"""How commands end from outside: signals, streams that are closed or nobody reads, a full disk, few handles."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from interank import machine
from interank.cli import ending
from interank.ledger import Ledger
from interank.resources import resource_dir
from tests.support.commands import alive, forked

BENCHMARK = resource_dir("data") / "benchmark"
COMMAND = [sys.executable, "-m", "interank.cli.app"]
PATIENCE = 120.0
# Several parts for each of several processes.
ROWS = 14_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "interank-test", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def write_text(folder: Path) -> None:
    (folder / "text").write_text("x" * (2 << 20))


def write_ledger(folder: Path) -> None:
    Ledger(folder / "ledger.jsonl").append({"text": "x" * 4096} for _ in range(600))


def write_sqlite(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "replies.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE replies (text TEXT)")
        for _ in range(600):
            connection.execute("INSERT INTO replies VALUES (?)", ("x" * 4096,))


def write_parquet(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(
        pyarrow.table({"text": [os.urandom(1024).hex() for _ in range(2000)]}), folder / "rows.parquet"
    )


def write_safetensors(folder: Path) -> None:
    save_file({"weight": torch.zeros(1 << 20)}, folder / "model.safetensors")


def write_checkpoint(folder: Path) -> None:
    torch.save({"weight": torch.zeros(1 << 20)}, folder / "optimizer.pt")


WRITERS = (write_text, write_ledger, write_sqlite, write_parquet, write_safetensors, write_checkpoint)


@pytest.mark.parametrize("write", WRITERS)
def test_whoever_writes_a_full_disk_is_told_in_a_sentence(small_disk: Path, write: Callable[[Path], None]) -> None:
    with pytest.raises(Exception) as caught:
        write(small_disk)
    found = machine.fault(caught.value)
    assert found is not None
    assert found.kind == "full"
    said = ending.fault_message(caught.value, Namespace(out=small_disk / "out", resume=False))
    assert said is not None
    assert said.startswith(f"the disk that holds {small_disk} is full (")
    assert "of 1.0 MB are left" in said
    assert "--resume" in said


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EROFS, "Read-only file system", "/data/out"), "forbidden"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/out"), "forbidden"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "forbidden"),
        (OSError(errno.EIO, "Input/output error"), "broken"),
        (sqlite3.OperationalError("disk I/O error"), "broken"),
        (OSError(errno.EMFILE, "Too many open files"), "handles"),
        (ImportError("libtorch.so: cannot open shared object file: Too many open files"), "handles"),
        (MemoryError(), "memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "memory"),
        (OSError(errno.EFBIG, "File too large"), "quota"),
    ],
)
def test_faults_of_the_machine_are_known_by_number_or_words(error: Exception, kind: str) -> None:
    found = machine.fault(error)
    assert found is not None
    assert found.kind == kind
    wrapped = ValueError("something else")
    wrapped.__cause__ = error
    assert machine.fault(wrapped) == found
    assert "\n" not in machine.message(found)


def test_other_errors_are_no_faults_of_the_machine() -> None:
    for error in (ValueError("no"), FileNotFoundError(errno.ENOENT, "No such file"), RuntimeError("shapes differ")):
        assert ending.fault_message(error, Namespace(out=Path("out"), resume=True)) is None


def run(arguments: list[str], **how: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], text=True, timeout=PATIENCE, check=False, **how)  # type: ignore[call-overload, no-any-return]


def evaluate(out: Path) -> list[str]:
    return ["evaluate", "evaluate/benchmark", f"benchmark={BENCHMARK}", "--out", str(out)]


def test_standard_output_on_a_full_disk_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = run(["recipes", "ls"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.startswith("interank: ")
    assert len(done.stderr.splitlines()) == 1


def test_standard_error_on_a_full_disk_ends_nothing(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(evaluate(tmp_path / "out"), stdout=subprocess.PIPE, stderr=full)
    assert done.returncode == 0
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_closed_streams_end_nothing_and_are_not_written_to_as_files(tmp_path: Path) -> None:
    made = []
    for number, closed in enumerate(((), (0,), (1,), (2,), (0, 1, 2))):
        redirections = " ".join(f"{stream}>&-" if stream else "0<&-" for stream in closed)
        (tmp_path / str(number)).mkdir()
        out = tmp_path / str(number) / "out"
        command = f'exec "$0" "$@" {redirections}'
        done = subprocess.run(["bash", "-c", command, *COMMAND, *evaluate(out)], check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
        made.append((out / "manifest.json").read_bytes())
    assert made == [made[0]] * len(made)


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run(["recipes", "ls"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_work_goes_on_when_nobody_reads_what_is_said_of_it(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run(evaluate(tmp_path / "out"), stdout=subprocess.PIPE, stderr=writer)
    os.close(writer)
    assert done.returncode == 0
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_rerank_writes_its_files_when_nobody_reads_what_it_prints(tiny_adapter: Path, tmp_path: Path) -> None:
    asked = ["rerank", str(tiny_adapter), "--corpus", str(BENCHMARK), "--top-k", "2", "--trec"]
    reader, writer = os.pipe()
    os.close(reader)
    done = run([*asked, str(tmp_path / "run.trec")], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run.trec").read_text("utf-8").count("\n") > 20
    assert not [*tmp_path.glob(".*")]


def test_too_few_handles_are_told(tmp_path: Path) -> None:
    # Python itself needs some to start.
    script = """
import resource, sys
from interank.cli.app import main
resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
sys.exit(main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", script, *evaluate(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("interank: ")
    assert "open files" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def big_dump(folder: Path) -> Path:
    """A dump that several processes read."""
    folder.mkdir()
    body = "word " * 600
    date = 'CreationDate="2020-01-01T00:00:00.000"'
    with (folder / "Posts.xml").open("w", encoding="utf-8") as stream:
        stream.write('<?xml version="1.0" encoding="utf-8"?>\n<posts>\n')
        for number in range(1, ROWS, 2):
            stream.write(
                f'  <row Id="{number}" PostTypeId="1" AcceptedAnswerId="{number + 1}" Score="5" {date}'
                f' Title="Question {number}" Tags="&lt;a&gt;" Body="&lt;p&gt;{body}{number}&lt;/p&gt;" />\n'
                f'  <row Id="{number + 1}" PostTypeId="2" ParentId="{number}" Score="3" {date}'
                f' Body="&lt;p&gt;{body}{number}&lt;/p&gt;" />\n'
            )
        stream.write("</posts>\n")
    return folder


def descendants(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z" and int(fields[3]) == pid and int(path.parent.name) != pid:
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core reads a dump in one process")
def test_no_process_of_mining_outlives_its_command(tmp_path: Path) -> None:
    dump = big_dump(tmp_path / "big.stackexchange.com")
    mine = ["generate", "generate/smollm2", f"dumps={dump}", "decontaminate=false", "--mine-only"]
    # At the keyboard the signal goes to all of them; `kill` sends it to one.
    for number, group, code in ((signal.SIGTERM, False, 143), (signal.SIGINT, True, 130), (signal.SIGKILL, False, -9)):
        out = tmp_path / f"out-{number}"
        whole = [*COMMAND, *mine, "--out", str(out), "--quiet"]
        with forked(whole) as (process, said):
            deadline = time.monotonic() + PATIENCE
            # The server that forks, the tracker, and one that reads.
            while len(descendants(process.pid)) < 3 and alive(process):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(process.pid, number)
            ended = process.wait()
            deadline = time.monotonic() + PATIENCE
            while (left := descendants(process.pid)) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not left, f"left after {number}"
            told = said.read_text()
        assert ended == code, told
        if number != signal.SIGKILL:
            what = "terminated" if number == signal.SIGTERM else "interrupted"
            assert re.fullmatch(f"interank: {what}.*--resume.*\n", told)
