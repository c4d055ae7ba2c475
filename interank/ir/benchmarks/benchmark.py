"""What a benchmark's task is, once read, and what to read of it."""

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
    """One task: queries with qrels, the corpus they are asked of, and what else its files held.

    `corpus` is None where no text was asked for. `excluded` holds, by query, documents that must not be ranked
    for it, whether or not the corpus has them: take them off candidates with `Run.without`. `run` holds the
    folder's candidates for these queries, if it has some. `unjudged_query_count` tells how many queries were left
    out because they have no qrels.

    `first_stage_queries` holds rewritten queries, by id, for the first stage only: the reranker is asked the
    original ones, as in BRIGHT. `counts` tells what was met and handled, `sources` which files were read as what
    (queries, corpus, qrels, run, exclusions, first_stage_queries).
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
class Wanted:
    """What to read of a benchmark; what a benchmark does not have is refused when it is asked for."""

    tasks: tuple[str, ...] = ()
    """Which tasks, in this order; all that there are if none is named."""
    split: str | None = None
    """Which split, where a folder has several."""
    qrels: Path | None = None
    """Human judgments to take in place of the benchmark's; of one task only."""
    qrels_form: QrelsForm = "original"
    """BRIGHT's judgments as published, or as mended since."""
    documents: Length = "short"
    """BRIGHT's passages, or the whole pages they were cut from."""
    rewritten: str | None = None
    """Which of BRIGHT's rewritten queries the first stage gets: `gpt4_reason`, for one."""
    with_run: bool = True
    """Whether to look for candidates; not needed where they come from elsewhere."""
    need_text: bool = True
    """Whether to read the documents; stored runs can be scored without."""
    partial_corpus: bool = False
    """Whether judged documents may be absent from the corpus; they are counted, and score as trec_eval scores them."""
    revision: str | None = None
    """Which commit, tag or branch of a data set on the hub."""


# The whole benchmark, short documents, original queries.
EVERYTHING = Wanted()
