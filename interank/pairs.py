"""Pairs that a teacher judges: Parquet parts of whole questions, of which a shard is read by itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from interank.errors import InputError
from interank.ir.trec import numbered_lines
from interank.judgments import (
    GROUP_ROWS,
    document_of,
    json_object,
    origin_of,
    source_of,
    source_row,
    split_of,
    text_of,
    writable_row,
)
from interank.shards import Shard
from interank.types import Pair, Query

PAIRS = "pairs"
# What versions before parts wrote.
_OLD = "pairs.jsonl"
_PART_PAIRS = 20_000
_TEXTS = (
    "query_id",
    "doc_id",
    "query",
    "document",
    "split",
    "origin",
    "site",
    "post_id",
    "url",
    "author",
    "licence",
)
# A question's place among all: a shard is so many of them, and row groups tell which they hold.
_QUESTION = "question"


@dataclass(frozen=True, slots=True)
class PairCounts:
    """How many pairs and questions there are."""

    pairs: int
    questions: int


def write_pairs(pairs: Iterable[Pair], folder: Path) -> PairCounts:
    """Write pairs in parts, those of a question in one; parts that an earlier try left are removed.

    Args:
        pairs: Those of a question together.
        folder: The artifact's, in which the folder of parts is made.
    """
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(_QUESTION, pyarrow.int64()), *((name, pyarrow.string()) for name in _TEXTS)])
    parts = folder / PAIRS
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    found, questions = 0, 0
    writer, in_part, waiting = None, 0, []
    for place, (_, group) in enumerate(groupby(pairs, lambda pair: pair.query.query_id)):
        rows = [{_QUESTION: place, **writable_row(_row(pair))} for pair in group]
        if writer is None or in_part + len(rows) > _PART_PAIRS:
            if writer is not None:
                if waiting:
                    writer.write_table(pyarrow.Table.from_pylist(waiting, schema=schema))
                writer.close()
                waiting, in_part = [], 0
            number = sum(1 for _ in parts.iterdir())
            writer = pyarrow.parquet.ParquetWriter(parts / f"part-{number:05d}.parquet", schema, compression="zstd")
        waiting += rows
        in_part, found, questions = in_part + len(rows), found + len(rows), place + 1
        if len(waiting) >= GROUP_ROWS:
            writer.write_table(pyarrow.Table.from_pylist(waiting, schema=schema))
            waiting = []
    if writer is not None:
        if waiting:
            writer.write_table(pyarrow.Table.from_pylist(waiting, schema=schema))
        writer.close()
    return PairCounts(found, questions)


def read_pairs(folder: Path, shard: Shard | None = None) -> Iterator[Pair]:
    """The pairs in a folder, or those of a shard of its questions; a part is read when it comes to it.

    Args:
        folder: That of an artifact of pairs.
        shard: Which share of the questions; None reads all.

    Raises:
        InputError: What stands there is no pairs; says what it lacks. Or there are fewer questions than shards.
    """
    if (folder / _OLD).is_file():
        yield from _old_pairs(folder / _OLD, shard)
        return
    wanted = None
    if shard is not None:
        wanted = shard.share(questions_of(folder), "questions")
    for part in _parts(folder):
        yield from _part_pairs(part, wanted)


def questions_of(folder: Path) -> int:
    """How many questions the pairs in a folder are of."""
    if (folder / _OLD).is_file():
        return sum(1 for _ in groupby(_old_rows(folder / _OLD), key=attrgetter("query.query_id")))
    parts = _parts(folder)
    return _span(parts[-1])[1] + 1 if parts else 0


def _parts(folder: Path) -> Sequence[Path]:
    if not (folder / PAIRS).is_dir():
        raise InputError(f"{folder} holds no folder {PAIRS} with parts of pairs; mine them anew")
    return sorted((folder / PAIRS).glob("part-*.parquet"))


def _opened(part: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(part)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise InputError(f"{part} is no part of pairs ({error}); mine the pairs anew") from None
    if lacking := [name for name in (_QUESTION, *_TEXTS) if name not in file.schema_arrow.names]:
        raise InputError(f"{part} is no part of pairs, as it lacks the column {lacking[0]}; mine the pairs anew")
    return file


def _span(part: Path) -> tuple[int, int]:
    """The first and the last question of a part."""
    with _opened(part) as file:
        groups = [_span_of(file, number) for number in range(file.num_row_groups)]
    return groups[0][0], groups[-1][1]


def _span_of(file: Any, group: int) -> tuple[int, int]:
    statistics = file.metadata.row_group(group).column(0).statistics
    return statistics.min, statistics.max


def _part_pairs(part: Path, wanted: range | None) -> Iterator[Pair]:
    with _opened(part) as file:
        place = 0
        for group in range(file.num_row_groups):
            first, last = _span_of(file, group)
            if wanted is not None and (last < wanted.start or first >= wanted.stop):
                place += file.metadata.row_group(group).num_rows
                continue
            for row in file.read_row_group(group).to_pylist():
                place += 1
                if wanted is None or row[_QUESTION] in wanted:
                    yield _pair(row, f"{part}: row {place}")


def _old_pairs(path: Path, shard: Shard | None) -> Iterator[Pair]:
    """Those of a file by lines."""
    questions = (group for _, group in groupby(_old_rows(path), key=attrgetter("query.query_id")))
    if shard is not None:
        wanted = shard.share(questions_of(path.parent), "questions")
        questions = (group for place, group in enumerate(questions) if place in wanted)
    yield from chain.from_iterable(questions)


def _old_rows(path: Path) -> Iterator[Pair]:
    for number, line in numbered_lines(path):
        try:
            row = json_object(line)
        except ValueError as error:
            raise InputError(f"{path}:{number} is no pair ({error}); mine the pairs anew") from None
        yield _pair(row, f"{path}:{number}")


def _pair(row: Mapping[str, Any], where: str) -> Pair:
    try:
        given = dict(row)
        query = Query(text_of(given, "query_id"), text_of(given, "query"))
        return Pair(query, document_of(given), split_of(given), origin_of(given), source_of(given))
    except (ValueError, KeyError) as error:
        raise InputError(f"{where} is no pair ({type(error).__name__}: {error}); mine the pairs anew") from None


def _row(pair: Pair) -> dict[str, Any]:
    return {
        "query_id": pair.query.query_id,
        "doc_id": pair.document.doc_id,
        "query": pair.query.text,
        "document": pair.document.full_text,
        "split": pair.split,
        "origin": pair.origin,
        **source_row(pair.source),
    }
