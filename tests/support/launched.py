"""Commands in several processes, as torchrun starts them, in a group of their own that ends with its block.

All but the first of them are watched: what they would write belongs to the first.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil

from tests.support import writes
from tests.support.commands import started

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
# Of a start, which takes half a minute on a busy machine, and of what is done.
PATIENCE = 400
_MARK = "INTERANK_TEST_LAUNCH"
_WRITTEN = "written-by-{rank}.txt"
# transformers keeps the random state of each process in the checkpoint that the first writes.
_EACH_ITS_OWN = re.compile(r"/checkpoints/checkpoint-\d+(/rng_state_\d+\.pth)?( by .*)?$")


@contextmanager
def launched(commands: Sequence[Sequence[str]], folder: Path, *, processes: int = 2) -> Iterator[Popen[Any]]:
    """Commands of interank one after the other in the same processes; what they say is in `said.txt` of the folder.

    Afterwards none but the first has written, renamed or removed anything in the folder, or in interank's cache.
    """
    (folder / "commands.json").write_text(json.dumps([list(each) for each in commands]))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    here = [*torchrun, "-m", "tests.support.launched", str(folder / "commands.json")]
    with started_together(here, folder) as process:
        yield process
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


def main(commands: Sequence[Sequence[str]], folder: Path) -> int:
    """Run the commands as far as they end well; the exit code."""
    from interank.cli.app import main as interank
    from interank.engines.models import cache_dir

    if (rank := int(os.environ["RANK"])) > 0:
        writes.record([folder, cache_dir()], folder / _WRITTEN.format(rank=rank))
    return next((code for each in commands if (code := interank(list(each)))), 0)


if __name__ == "__main__":
    given = Path(sys.argv[1])
    sys.exit(main(json.loads(given.read_text()), given.parent))
