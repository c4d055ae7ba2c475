"""The rows of shards joined: those of one whole run in its order, with few of them in memory."""

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
class Joined:
    """What was written."""

    tally: Tally = field(default_factory=Tally)
    rejected: int = 0
    first_reason: str = ""
    """Why the first pair was rejected."""


@dataclass(frozen=True, slots=True)
class Shards:
    """Folders of shards in their order."""

    folders: Sequence[Path]
    search_queries: bool
    """Whether pairs of search queries were judged: they stand after all questions' own."""

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of a file of each shard in the order of a whole run: of questions, then of their search queries."""
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
        """Write such a file of all shards."""
        write_rows(folder / name, self.rows(name))

    def have(self, name: str) -> bool:
        """Whether a shard has such a file."""
        return any((folder / name).is_file() for folder in self.folders)


def join(shards: Shards, folder: Path, *, max_grade_share: float | None, seed: int) -> Joined:
    """Write the judgments of all shards, and what was rejected; a grade's surplus over its share is rejected.

    Raises:
        InputError: No grade of the training split can have so small a share.
    """
    found = Joined()
    left_out: set[int] = set()
    if max_grade_share is not None:
        columns = ((row["split"], row["relevance"], row["query_id"], row["doc_id"]) for row in shards.rows(FILE))
        left_out = surplus(columns, max_grade_share, seed)
    with JudgmentsWriter(folder, COLUMNS) as writer:
        for place, row in enumerate(shards.rows(FILE)):
            if place not in left_out:
                found.tally.add(row)
                writer.add(row)
    write_rows(folder / REJECTED, _counted(_rejected(shards, left_out, max_grade_share), found))
    if shards.have(QUERIES):
        shards.write(QUERIES, folder)
    if shards.have(UNEXPLAINED):
        gone = _gone(shards, left_out)
        kept = (row for row in shards.rows(UNEXPLAINED) if (row["query_id"], row["doc_id"]) not in gone)
        write_rows(folder / UNEXPLAINED, kept)
    return found


def _counted(rows: Iterable[dict[str, Any]], found: Joined) -> Iterator[dict[str, Any]]:
    for row in rows:
        found.rejected += 1
        found.first_reason = found.first_reason or row["reason"]
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


def _gone(shards: Shards, left_out: set[int]) -> set[tuple[str, str]]:
    if not left_out:
        return set()
    return {(row["query_id"], row["doc_id"]) for place, row in enumerate(shards.rows(FILE)) if place in left_out}
