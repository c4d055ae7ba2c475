"""One process at a time makes an output, whatever happens to the one before."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from interank.artifact import create, open_artifact
from interank.errors import ArtifactError
from interank.ledger import Ledger
from interank.locks import Held, held, lock_file
from interank.outputs import Partial
from tests.support.commands import started

# A stage that says when it has begun, and takes its time.
MAKING = """
import sys, time
from pathlib import Path
from interank.artifact import Artifact, create
from interank.errors import ArtifactError
from interank.ledger import Ledger

out, existing, depth, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
try:
    place = create(out, "evaluation", recipe={"depth": depth}, inputs={}, existing=existing)
except ArtifactError as error:
    print(f"refused: {error}")
    sys.exit(1)
if isinstance(place, Artifact):
    print("finished")
    sys.exit(0)
print("began", flush=True)
ledger = Ledger(place.work / "rows.jsonl")
ledger.append([{"depth": depth}] * 3)
time.sleep(seconds)
place.write_json("run.json", [row["depth"] for row in ledger.rows()])
place.finish(seed=1, counts={})
"""


def making(
    out: Path, existing: str = "refuse", *, depth: int = 1, seconds: float = 0.0
) -> AbstractContextManager[subprocess.Popen[str]]:
    arguments = [sys.executable, "-c", MAKING, str(out), existing, str(depth), str(seconds)]
    return started(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, error = process.communicate(timeout=60)
    assert not error, error
    return process.returncode, out


def made(out: Path, existing: str = "refuse", *, depth: int = 1) -> tuple[int, str]:
    with making(out, existing, depth=depth) as process:
        return told(process)


@contextmanager
def made_by_another(out: Path) -> Iterator[subprocess.Popen[str]]:
    with making(out, seconds=120) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "began\n"
        yield process


@pytest.mark.parametrize("existing", ["refuse", "resume", "overwrite"])
def test_a_second_process_is_told_who_makes_the_output(tmp_path: Path, existing: str) -> None:
    out = tmp_path / "out"
    with made_by_another(out) as first:
        code, said = made(out, existing, depth=2)
        assert code == 1
        assert f"out is being made by process {first.pid} on {socket.gethostname()}; wait" in said
        assert Ledger(Partial(out).work / "rows.jsonl").rows() == [{"depth": 1}] * 3


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with made_by_another(out) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert lock_file(out).exists()
        assert made(out, "resume")[0] == 0
    assert open_artifact(out).recipe() == {"depth": 1}
    assert list(tmp_path.iterdir()) == [out]


def test_of_many_that_start_at_any_distance_one_makes_the_output(tmp_path: Path) -> None:
    for number, delay in enumerate([0.0, 0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.3]):
        out = tmp_path / f"{number}" / "out"
        existing = ["refuse", "overwrite", "resume"][number % 3]
        with ExitStack() as both:
            processes = []
            for depth in (1, 2):
                processes.append(both.enter_context(making(out, existing, depth=depth, seconds=0.2)))
                time.sleep(delay)
            ends = [told(process) for process in processes]
        makers = [depth for depth, (code, _) in enumerate(ends, start=1) if code == 0]
        recipe = open_artifact(out).recipe()
        assert makers
        # Several only one after the other, each replacing what it found whole.
        assert recipe["depth"] in makers
        assert json.loads((out / "run.json").read_text()) == [recipe["depth"]] * 3
        assert all("refused" in said for code, said in ends if code)
        assert list(out.parent.iterdir()) == [out]


def test_a_process_that_tries_again_after_a_failure_has_the_place_still(tmp_path: Path) -> None:
    out = tmp_path / "out"
    failed = create(out, "evaluation", recipe={"depth": 1}, inputs={})
    again = create(out, "evaluation", recipe={"depth": 1}, inputs={})
    del failed
    code, said = made(out)
    assert code == 1
    assert f"process {os.getpid()} on" in said
    del again
    assert not lock_file(out).exists()
    assert made(out)[0] == 0


def test_children_of_a_process_do_not_keep_its_lock(tmp_path: Path) -> None:
    code = """
        import os, sys, time
        from pathlib import Path
        from interank.locks import Held
        place = Held(Path(sys.argv[1]))
        if os.fork() == 0:
            # The child says it: before it runs for the first time it has its parent's files still.
            print("held", flush=True)
            time.sleep(60)
            os._exit(0)
        time.sleep(60)
    """
    out = tmp_path / "out"
    arguments = [sys.executable, "-c", textwrap.dedent(code), str(out)]
    with started(arguments, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "held\n"
        with pytest.raises(ArtifactError, match=f"process {parent.pid} on"):
            Held(out)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        with held(out):
            assert lock_file(out).read_text().split("\n")[0] == str(os.getpid())


def test_where_no_lock_can_be_had_the_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match=r"another --out"):
        Held(tmp_path / "file" / "out")
