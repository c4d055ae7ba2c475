"""Candidates from a run file, for a task: whether they belong to it is seen before anything is computed."""

from __future__ import annotations

from pathlib import Path

from interank.errors import InputError
from interank.ir.benchmarks.assembly import missing_from_corpus
from interank.ir.benchmarks.benchmark import Benchmark
from interank.ir.trec import line_of, read_run
from interank.types import Run


def read_candidates(path: Path, benchmark: Benchmark) -> Run:
    """The run's rankings of the task's queries, in the task's order; excluded documents are still in it.

    Raises:
        InputError: The run is damaged, ranks none of the queries, or ranks documents that the corpus lacks.
    """
    run = read_run(path)
    candidates = run.only(benchmark.queries)
    if not candidates:
        first = next(iter(run))
        raise InputError(
            f"{line_of(path, first)}: none of its query ids, {first!r} the first, is of the task "
            f"{benchmark.name}; name the run of this task and split"
        )
    if benchmark.corpus is not None:
        # What a query excludes is not ranked, so nobody has to have its text.
        missing_from_corpus(path, candidates.without(benchmark.excluded), benchmark.corpus)
    return candidates
