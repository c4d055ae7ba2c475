"""What interank relies on torchrun and gloo to do: who starts whom, and how one's death reaches the others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.distributed_commands import children, started_together, wait_for

# Each tells who started it. One is killed while the other waits for it, and tells how it noticed.
WORKER = """
import json, os, signal, sys
from interank import distributed
signal.signal(signal.SIGTERM, signal.SIG_IGN)
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")
told = {"parent": os.getppid(), "names": [name for name in names if os.environ.get(name)]}
distributed.begin()
distributed.barrier()
if distributed.rank() == 1:
    os.kill(os.getpid(), signal.SIGKILL)
try:
    while True:
        distributed.barrier()
except RuntimeError as error:
    told["lost"] = str(distributed.lost(error))
open(sys.argv[1], "w").write(json.dumps(told))
"""
AGENT = """
import json, os, sys
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import get_args_parser, run
try:
    run(get_args_parser().parse_args(["--standalone", "--nproc_per_node", "2", *sys.argv[2:]]))
except ChildFailedError as error:
    failure = error.failures[1]
    told = {"process": os.getpid(), "code": failure.exitcode, "signal": failure.signal_name()}
    open(sys.argv[1], "w").write(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the one that is left says, and what started them."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "worker.py").write_text(WORKER)
    (folder / "agent.py").write_text(AGENT)
    files = [str(folder / name) for name in ("agent.py", "agent.json", "worker.py", "worker.json")]
    with started_together([sys.executable, *files], folder) as process:
        assert process.wait(120) == 0, (folder / "said.txt").read_text()
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in ("agent", "worker")}


def test_processes_are_children_of_what_calls_torchrun(told: dict[str, Any]) -> None:
    assert told["worker"]["parent"] == told["agent"]["process"]


def test_processes_are_told_who_they_are(told: dict[str, Any]) -> None:
    names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"]
    assert told["worker"]["names"] == [*names, "TORCHELASTIC_RUN_ID"]


def test_the_signal_that_ended_a_process_is_told(told: dict[str, Any]) -> None:
    assert (told["agent"]["code"], told["agent"]["signal"]) == (-9, "SIGKILL")


def test_a_process_that_waits_notices_the_death_of_another(told: dict[str, Any]) -> None:
    assert told["worker"]["lost"].startswith("process 0 of 2 cannot continue")


WAITING = """
import pathlib, signal, sys, time
from interank import distributed
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
distributed.begin()
distributed.barrier()
pathlib.Path(sys.argv[1], str(distributed.rank())).touch()
if distributed.first():
    time.sleep(600)
# Of native code, in which no signal is looked after.
distributed.barrier()
"""


def test_processes_end_with_torchrun(tmp_path: Path) -> None:
    """Nothing of torch's ends them: `kill -9` of it would leave them at work."""
    (tmp_path / "waiting.py").write_text(WAITING)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    with started_together([*torchrun, str(tmp_path / "waiting.py"), str(tmp_path)], tmp_path) as process:
        wait_for(lambda: (tmp_path / "0").exists() and (tmp_path / "1").exists(), process)
        every = children(process.pid)
        process.kill()
        _, left = psutil.wait_procs(every.values(), timeout=60)
        assert not left
    assert "what started the 2 processes has ended" in (tmp_path / "said.txt").read_text()
