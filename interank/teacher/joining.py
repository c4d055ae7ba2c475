"""Joins the rows of shards into those of one whole run, in its order, with few rows in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interank import judging
from interank.judgments import COLUMNS, FILE, JudgmentsWriter
from interank.ledger import write_rows
from interank.teacher.balance import surplus
from interank.teacher.outcomes import surplus_reason
from interank.teacher.tally import Tally
from interank.types import Judgment, Relevance

REJECTED, UNEXPLAINED, QUERIES = "rejected.jsonl", "unexplained.jsonl", "queries.jsonl"


@dataclass(eq=False)
class JoinCounts:
    """Counts of the rows that were written."""

    tally: Tally = field(default_factory=Tally)
    rejected: int = 0
    first_reason: str = ""
    """Why the first pair was rejected."""


@dataclass(frozen=True, slots=True)
class Shards:
    """Folders of shards in their order."""

    folders: Sequence[Path]
    search_queries: bool
    """Whether pairs of search queries were judged; their rows come after those of all questions."""

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of a file of each shard in the order of a whole run: questions', then their search queries'."""
        places = (0, 1, 2) if self.search_queries else (0, 1)
        for place in places if name == REJECTED else places[1:]:
            for folder in self.folders:
                if not (folder / name).is_file():
                    continue
                with (folder / name).open(encoding="utf-8") as stream:
                    for line in stream:
                        row: dict[str, Any] = json.loads(line)
                        if self._place(row) == place:
                            yield row

    def _place(self, row: dict[str, Any]) -> int:
        if "doc_id" in row and row["doc_id"] is None:
            return 0
        return 2 if self.search_queries and "#" in row["query_id"] else 1

    def write(self, name: str, folder: Path) -> None:
        """Write a file of this name with the rows of all shards."""
        write_rows(folder / name, self.rows(name))

    def have(self, name: str) -> bool:
        """Whether a shard has a file of this name."""
        return any((folder / name).is_file() for folder in self.folders)


def join(shards: Shards, folder: Path, *, max_grade_share: float | None, seed: int) -> JoinCounts:
    """Write the judgments and rejections of all shards; judgments over a grade's share are rejected too.

    Raises:
        InputError: No grade of the training split can have so small a share.
    """
    joined = JoinCounts()
    left_out: set[int] = set()
    if max_grade_share is not None:
        columns = ((row["split"], row["relevance"], row["query_id"], row["doc_id"]) for row in shards.rows(FILE))
        left_out = surplus(columns, max_grade_share, seed)
    with JudgmentsWriter(folder, COLUMNS) as writer:
        for place, row in enumerate(shards.rows(FILE)):
            if place not in left_out:
                joined.tally.add(row)
                writer.add(row)
    write_rows(folder / REJECTED, _counted(_rejected(shards, left_out, max_grade_share), joined))
    if shards.have(QUERIES):
        shards.write(QUERIES, folder)
    if shards.have(UNEXPLAINED):
        removed = _pairs_left_out(shards, left_out)
        kept = (row for row in shards.rows(UNEXPLAINED) if (row["query_id"], row["doc_id"]) not in removed)
        write_rows(folder / UNEXPLAINED, kept)
    return joined


def _counted(rows: Iterable[dict[str, Any]], joined: JoinCounts) -> Iterator[dict[str, Any]]:
    for row in rows:
        joined.rejected += 1
        joined.first_reason = joined.first_reason or row["reason"]
        yield row


def _rejected(shards: Shards, left_out: set[int], share: float | None) -> Iterator[dict[str, Any]]:
    yield from shards.rows(REJECTED)
    if not left_out or share is None:
        return
    for place, row in enumerate(shards.rows(FILE)):
        if place in left_out:
            judgment = Judgment(row["reasoning"], Relevance(row["relevance"]))
            reply = judging.answer(judgment, "grade_first")
            yield {
                "query_id": row["query_id"],
                "doc_id": row["doc_id"],
                "reason": surplus_reason(share),
                "reply": reply,
            }


def _pairs_left_out(shards: Shards, left_out: set[int]) -> set[tuple[str, str]]:
    if not left_out:
        return set()
    return {(row["query_id"], row["doc_id"]) for place, row in enumerate(shards.rows(FILE)) if place in left_out}
