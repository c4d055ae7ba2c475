"""Commands in several processes, as torchrun starts them, in a group of their own that ends with its block.

All but the first of them are watched: what they would write belongs to the first.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil

from tests.chaos.starter import Order
from tests.support import writes
from tests.support.commands import kill, ordered, started

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
# Of a start, which takes half a minute on a busy machine, and of what is done.
PATIENCE = 400
_MARK = "INTERANK_TEST_LAUNCH"
_WRITTEN = "written-by-{rank}.txt"
# transformers keeps the random state of each process in the checkpoint that the first writes; each writes the ids of a
# share of the rows.
_EACH_ITS_OWN = re.compile(
    r"/(checkpoints/checkpoint-\d+(/rng_state_\d+\.pth)?|work/\.rows(/\d{5}\.(ids|rows))?)( by .*)?$"
)


@contextmanager
def launched(commands: Sequence[Sequence[str]], folder: Path, *, processes: int = 2) -> Iterator[Popen[Any]]:
    """Commands of interank one after the other in the same processes; what they say is in `said.txt` of the folder.

    Afterwards none but the first has written, renamed or removed anything in the folder, or in interank's cache.
    """
    written = _written(commands, folder)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    with started_together([*torchrun, "-m", "tests.support.distributed_commands", written], folder) as process:
        yield process
    _check_watched(folder, processes)


def done_together(commands: Sequence[Sequence[str]], folder: Path, *, processes: int = 2) -> int:
    """The same until they have ended, in forks that torchrun's agent starts and that need no half minute; its code."""
    said = str(folder / "said.txt")
    order = Order([_written(commands, folder)], ENVIRONMENT, stdout=said, stderr=said, together=processes)
    with ordered(order) as process:
        limit = threading.Timer(PATIENCE, kill, [process])
        limit.start()
        code = process.wait()
        limit.cancel()
    _check_watched(folder, processes)
    return code


def _written(commands: Sequence[Sequence[str]], folder: Path) -> str:
    file = folder / "commands.json"
    file.write_text(json.dumps([list(each) for each in commands]))
    return str(file)


def _check_watched(folder: Path, processes: int) -> None:
    for rank in range(1, processes):
        lines = (folder / _WRITTEN.format(rank=rank)).read_text().splitlines()
        others = [line for line in lines if not _EACH_ITS_OWN.search(line)]
        assert not others, others


@contextmanager
def started_together(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Popen[Any]]:
    """What starts several processes, each of them in a group of its own; all are gone with the block."""
    own = uuid.uuid4().hex
    given = {**os.environ, **ENVIRONMENT, **(environment or {}), _MARK: own}
    with (folder / "said.txt").open("w") as said, started(arguments, stdout=said, stderr=said, env=given) as process:
        try:
            yield process
        finally:
            # torchrun gives each a session of its own, which does not end with torchrun's.
            for each in psutil.process_iter():
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    if each.environ().get(_MARK) == own:
                        each.kill()


def wait_for(ready: Callable[[], bool], process: Popen[Any]) -> None:
    """Until it is so, or fail."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def children(parent: int) -> dict[int, psutil.Process]:
    """The processes that torchrun started, by their numbers."""
    found = {}
    for child in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if (number := child.environ().get("RANK")) is not None:
                found[int(number)] = child
    return found


def in_forks(commands: str, processes: int) -> int:
    """What torchrun does, with forks of this process; the exit code."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="fork",
    )
    try:
        elastic_launch(config, _do)(commands)
    except ChildFailedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _do(file: str) -> None:
    sys.exit(main(json.loads(Path(file).read_text()), Path(file).parent))


def main(commands: Sequence[Sequence[str]], folder: Path) -> int:
    """Run the commands as far as they end well; the exit code."""
    from interank.cli.app import main as interank
    from interank.engines.models import cache_dir

    if (rank := int(os.environ["RANK"])) > 0:
        writes.record([folder, cache_dir()], folder / _WRITTEN.format(rank=rank))
    return next((code for each in commands if (code := interank(list(each)))), 0)


if __name__ == "__main__":
    _do(sys.argv[1])
