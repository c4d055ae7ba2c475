"""Commands in several processes, as torchrun starts them, in a group of their own that ends with its block."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

from tests.support.commands import started

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
# Of a start, which takes half a minute on a busy machine, and of what is done.
PATIENCE = 400


@contextmanager
def launched(commands: Sequence[Sequence[str]], folder: Path, *, processes: int = 2) -> Iterator[Popen[Any]]:
    """Commands of interank one after the other in the same processes; what they say is in `said.txt` of the folder."""
    (folder / "commands.json").write_text(json.dumps([list(each) for each in commands]))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    here = [*torchrun, "-m", "tests.support.launched", str(folder / "commands.json")]
    with (
        (folder / "said.txt").open("w") as said,
        started(here, stdout=said, stderr=said, env={**os.environ, **ENVIRONMENT}) as process,
    ):
        yield process


def main(commands: Sequence[Sequence[str]]) -> int:
    """Run the commands as far as they end well; the exit code."""
    from interank.cli.app import main as interank

    return next((code for each in commands if (code := interank(list(each)))), 0)


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text())))
