"""Candidates for a task from a run file, checked against its queries and corpus before anything is computed."""

from __future__ import annotations

from pathlib import Path

from interank.errors import InputError
from interank.ir.benchmarks.assembly import missing_from_corpus
from interank.ir.benchmarks.benchmark import Benchmark
from interank.ir.trec import line_of, read_run
from interank.types import Run


def read_candidates(path: Path, benchmark: Benchmark) -> Run:
    """Read the run's rankings of the task's queries, in the task's order; excluded documents are kept.

    Raises:
        InputError: The run is damaged, ranks none of the queries, or ranks documents that the corpus lacks.
    """
    run = read_run(path)
    candidates = run.only(benchmark.queries)
    if not candidates:
        first = next(iter(run))
        raise InputError(
            f"{line_of(path, first)}: no query id of the run (the first is {first!r}) belongs to the task "
            f"{benchmark.name}; name the run of this task and split"
        )
    if benchmark.corpus is not None:
        # An excluded document is not reranked, so the corpus need not have it.
        missing_from_corpus(path, candidates.without(benchmark.excluded), benchmark.corpus)
    return candidates
