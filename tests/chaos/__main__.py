"""`python -m tests.chaos --kills 50 --seed 1`: ends commands at random; do all go on to the same end?."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path

from tests.chaos.cases import KINDS, Case, case
from tests.chaos.running import EndError
from tests.chaos.starter import Starter
from tests.chaos.subjects import NAMES, Teacher, subjects
from tests.chaos.trial import Trial
from tests.support.adapters import tiny_adapter
from tests.support.stub import Stub, serving
from tests.support.tiny import tiny_model


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases; 0 if all are well."""
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, metavar="N")
    parser.add_argument("--seed", type=int, help="another one each time, if not given")
    parser.add_argument("--only", type=int, action="append", metavar="NUMBER", help="only the cases of these numbers")
    parser.add_argument("--command", choices=NAMES, help="only cases of this command")
    options = parser.parse_args(arguments)
    seed = random.randrange(10**6) if options.seed is None else options.seed
    every = (n for n in count() if options.command in (None, case(seed, n).subject))
    numbers = options.only or list(islice(every, options.kills))
    print(f"seed {seed}: {len(numbers)} cases", flush=True)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="interank-chaos-"))
    results: list[tuple[Case, str]] = []
    with on_trial(folder) as trial:
        for drawn in (case(seed, number) for number in numbers):
            results += [(drawn, outcome(trial, drawn, seed))]
    print(_table(results))
    counts = Counter(told.partition(":")[0] for _, told in results)
    print(f"\nseed {seed}: {', '.join(f'{n} {what}' for what, n in counts.items())}; {time.monotonic() - began:.0f} s")
    if counts["FAILED"]:
        print(f"what is left of those that failed: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


@contextmanager
def on_trial(folder: Path) -> Iterator[Trial]:
    """All that cases need, made in the folder."""
    model = tiny_model(folder / "model")
    adapter = tiny_adapter(model, folder)
    teacher = Teacher()
    stub = Stub(teacher)
    starter = Starter()
    try:
        with serving(stub):
            yield Trial(folder, subjects(folder, model, adapter, stub.url), teacher, starter)
    finally:
        starter.close()


def outcome(trial: Trial, drawn: Case, seed: int) -> str:
    """Run a case and print a line of it; `FAILED: ` and why, where it failed."""
    began = time.monotonic()
    try:
        told = trial.run(drawn)
    except EndError as error:
        told = f"FAILED: {error}\n    again: python -m tests.chaos --seed {seed} --only {drawn.number}"
    print(f"{drawn} -> {told} ({time.monotonic() - began:.0f} s)", flush=True)
    return told


def _table(results: Sequence[tuple[Case, str]]) -> str:
    """How many cases of each kind and command were well."""
    well, all_of = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for drawn, told in results:
        if not told.startswith("skipped"):
            all_of[drawn.kind, drawn.subject] += 1
            well[drawn.kind, drawn.subject] += not told.startswith("FAILED")
    rows = [["", *NAMES]]
    rows += [
        [kind, *(f"{well[kind, name]} of {all_of[kind, name]}" if all_of[kind, name] else "-" for name in NAMES)]
        for kind in KINDS
    ]
    return "\n".join("  ".join(cell.ljust(16) for cell in row).rstrip() for row in rows)


if __name__ == "__main__":
    sys.exit(main())
