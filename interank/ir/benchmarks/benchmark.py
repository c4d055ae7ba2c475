"""A benchmark's task once read, and the options for reading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from interank.errors import InputError
from interank.types import Document, Qrel, Query, Run

QrelsForm = Literal["original", "fixed"]
Length = Literal["short", "long"]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One task: queries with qrels, the corpus, and the rest of its files.

    `corpus` is None if the task was read without text. `excluded` holds, by query, documents that must not be
    ranked for it, whether or not the corpus has them: remove them from candidates with `Run.without`. `run` holds
    the folder's candidates for these queries, if it has some. `unjudged_query_count` counts the queries left out
    because they have no qrels.

    `first_stage_queries` holds rewritten queries, by id, for the first stage only: the reranker gets the original
    ones, as in BRIGHT. `counts` has the irregularities met (repeated ids, missing documents), `sources` the files
    read, by their role (queries, corpus, qrels, run, exclusions, first_stage_queries).
    """

    name: str
    queries: dict[str, Query]
    corpus: dict[str, Document] | None
    qrels: list[Qrel]
    excluded: dict[str, frozenset[str]]
    run: Run | None
    unjudged_query_count: int
    first_stage_queries: dict[str, str] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, tuple[Path, ...]] = field(default_factory=dict, compare=False)

    def documents(self) -> dict[str, Document]:
        """The corpus.

        Raises:
            InputError: The task was read without text.
        """
        if self.corpus is None:
            raise InputError(f"the task {self.name} was read without its documents; read it with need_text=True")
        return self.corpus


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """Options for reading a benchmark; an option for something that the benchmark lacks is an error."""

    tasks: tuple[str, ...] = ()
    """The tasks to read, in this order; empty for all."""
    split: str | None = None
    """The split to read, if a folder has several."""
    qrels: Path | None = None
    """A file of human judgments to use in place of the benchmark's; for one task only."""
    qrels_form: QrelsForm = "original"
    """BRIGHT's judgments as first published, or as corrected since."""
    documents: Length = "short"
    """BRIGHT's passages, or the whole pages they were cut from."""
    rewritten: str | None = None
    """The set of BRIGHT's rewritten queries for the first stage, such as `gpt4_reason`."""
    with_run: bool = True
    """Whether to look for candidates; not needed if they come from elsewhere."""
    need_text: bool = True
    """Whether to read the documents; stored runs can be scored without them."""
    partial_corpus: bool = False
    """Whether judged documents may be absent from the corpus; they are counted, and score as trec_eval scores them."""
    revision: str | None = None
    """The commit, tag or branch of a data set on the hub."""


# The whole benchmark, short documents, original queries.
EVERYTHING = BenchmarkOptions()
