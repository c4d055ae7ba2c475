"""Queries with the relevant and the excluded documents that their rows name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from interank.errors import InputError
from interank.ir.benchmarks.rows import columns, filled, ids, read_rows, string, tab_rows
from interank.types import Query

_ID = ("_id", "id")  # BEIR's column, then BRIGHT's
_QUESTION = ("text", "query")
_INSTRUCTION = "instruction"


@dataclass(frozen=True, slots=True)
class Topic:
    """A row of a queries file; repeated ids are kept."""

    where: str
    query: Query
    excluded: tuple[str, ...] = ()
    gold_ids: tuple[str, ...] = ()


def read_topics(paths: Iterable[Path], gold: str = "gold_ids") -> dict[str, Topic]:
    """Read queries by id, from JSONL or Parquet, in file order; relevant documents from the column `gold`.

    Raises:
        InputError: A row is no query, an id is repeated, or there is no query.
    """
    files = list(paths)
    topics = (
        Topic(
            where,
            Query(filled(where, row, _ID), string(where, row, _QUESTION), _instruction(where, row)),
            ids(where, row, "excluded_ids"),
            ids(where, row, gold),
        )
        for where, row in read_rows(files)
    )
    return _by_id(files, topics, "one JSON object a line")


def _instruction(where: str, row: object) -> str | None:
    """The instruction by which to judge the row's query; None if the row has none."""
    return None if columns(where, row).get(_INSTRUCTION) is None else string(where, row, (_INSTRUCTION,))


def read_tab_topics(path: Path) -> dict[str, Topic]:
    """Read queries by id, from lines of id, tab, text.

    Raises:
        InputError: As in `read_topics`.
    """
    topics = (Topic(where, Query(query_id, text)) for where, query_id, text in tab_rows(path))
    return _by_id([path], topics, "lines of id, tab, text")


def _by_id(files: list[Path], topics: Iterable[Topic], expected: str) -> dict[str, Topic]:
    by_id: dict[str, Topic] = {}
    for topic in topics:
        query_id = topic.query.query_id
        if not query_id:
            raise InputError(f"{topic.where}: the id is empty; fill it in, or remove the line")
        if query_id.startswith("#") or any(sign in query_id for sign in "\t\r\n"):
            raise InputError(
                f"{topic.where}: the id {query_id[:60]!r} begins with # or holds a tab or the end of a line, which "
                "TREC's files cannot hold; rename the query, in the qrels too"
            )
        if query_id in by_id:
            raise InputError(f"{topic.where}: an earlier row has the id {query_id!r} too; remove one of the two")
        by_id[query_id] = topic
    if not by_id:
        raise InputError(f"{files[0]} is empty; name a file that holds {expected}")
    return by_id
