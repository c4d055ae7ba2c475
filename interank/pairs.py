"""Pairs for a teacher to judge, in Parquet parts of whole questions, so that a shard reads only its own."""

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
# The file of earlier versions, before there were parts.
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
# The column of questions' numbers. A shard is a range of numbers; a row group's statistics give its own range.
_QUESTION = "question"


@dataclass(frozen=True, slots=True)
class PairCounts:
    """The numbers of pairs and questions written."""

    pairs: int
    questions: int


def write_pairs(pairs: Iterable[Pair], folder: Path) -> PairCounts:
    """Write pairs in parts, each question's in one part; parts of an earlier try are removed.

    Args:
        pairs: The pairs, those of a question consecutive.
        folder: The artifact's folder, in which the folder of parts is made.
    """
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(_QUESTION, pyarrow.int64()), *((name, pyarrow.string()) for name in _TEXTS)])
    parts = folder / PAIRS
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    total, questions = 0, 0
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
        in_part, total, questions = in_part + len(rows), total + len(rows), place + 1
        if len(waiting) >= GROUP_ROWS:
            writer.write_table(pyarrow.Table.from_pylist(waiting, schema=schema))
            waiting = []
    if writer is not None:
        if waiting:
            writer.write_table(pyarrow.Table.from_pylist(waiting, schema=schema))
        writer.close()
    return PairCounts(total, questions)


def read_pairs(folder: Path, shard: Shard | None = None) -> Iterator[Pair]:
    """Yield the pairs in a folder, or those of a shard of its questions, reading one part after the other.

    Args:
        folder: The folder of an artifact of pairs.
        shard: The shard of the questions; None reads all.

    Raises:
        InputError: The files hold no pairs (the message says why), or there are fewer questions than shards.
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
    """The number of questions of the pairs in a folder."""
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
        raise InputError(f"{part} is no Parquet file of pairs ({error}); mine the pairs again") from None
    if missing := [name for name in (_QUESTION, *_TEXTS) if name not in file.schema_arrow.names]:
        raise InputError(
            f"{part} is no Parquet file of pairs, as it lacks the column {missing[0]}; mine the pairs again"
        )
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
    """The pairs of an earlier version's JSONL file."""
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
        fields = dict(row)
        query = Query(text_of(fields, "query_id"), text_of(fields, "query"))
        return Pair(query, document_of(fields), split_of(fields), origin_of(fields), source_of(fields))
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
