"""Reads and writes the rows of judgments artifacts: generate writes them; generate, distill and rl read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Self, TypeVar, get_args

from interank import plain_data
from interank.errors import InputError
from interank.ir.trec import numbered_lines
from interank.types import Document, Example, Judgment, Origin, Pair, Query, Relevance, Source, Split, grouped

FILE = "judgments.jsonl"
# One file for each split, so that `datasets.load_dataset` gives both.
PARQUET: dict[Split, str] = {"train": "train.parquet", "validation": "validation.parquet"}
COLUMNS = (
    "query_id",
    "doc_id",
    "query",
    "document",
    "reasoning",
    "relevance",
    "probabilities",
    "split",
    "site",
    "post_id",
    "url",
    "author",
    "licence",
    "origin",
    "agreement",
    "conflict",
)
# Further columns of imported labels.
LABEL_COLUMNS = ("score", "weight")
INSTRUCTION = "instruction"
"""The column of queries' own instructions; only written if a query has one."""
GROUP_ROWS = 2_000
"""Rows of a row group in Parquet files. Memory holds one group of each split, as Python, Arrow and compressed rows."""
# How far the sum of probabilities with two decimals may be from 1.
_ROUNDED = 0.02
# Columns that judgments made elsewhere may lack.
_OPTIONAL = frozenset({"origin", "agreement", "conflict"})

Asked = TypeVar("Asked", Pair, Example)
Line = TypeVar("Line")


@dataclass(frozen=True, slots=True)
class Mark:
    """Facts about a judgment that generate records beside it."""

    origin: Origin | None
    """The document's origin; None if it is unknown."""
    agreement: float | None
    """The share of the teacher's samples that voted for the grade; None for a single sample."""
    conflict: bool
    """Whether votes and acceptance contradict the grade."""


def write_judgments(examples: Sequence[Example], folder: Path, marks: Sequence[Mark | None] | None = None) -> None:
    """Write the rows as JSONL, and as a Parquet file for each split; `marks` have the order of the examples.

    The columns `score` and `weight` are written if a row has a score or a weight other than 1, `instruction` if a
    query has one.
    """
    all_marks: Sequence[Mark | None] = marks if marks is not None else [None] * len(examples)
    columns: tuple[str, ...] = COLUMNS
    if any(example.score is not None or example.weight != 1 for example in examples):
        columns += LABEL_COLUMNS
    if any(example.query.instruction is not None for example in examples):
        columns += (INSTRUCTION,)
    with JudgmentsWriter(folder, columns) as writer:
        for example, mark in zip(examples, all_marks, strict=True):
            optional = {"score": example.score, "weight": example.weight, INSTRUCTION: example.query.instruction}
            more = writable_row({name: optional[name] for name in columns[len(COLUMNS) :]})
            writer.add(judgment_row(example, mark) | more)


def judgment_row(example: Example, mark: Mark | None) -> dict[str, Any]:
    """A judgment's row, of the columns `COLUMNS`."""
    return writable_row(_row(example) | _marked(mark))


class JudgmentsWriter:
    """Writes rows of judgments in a stream, as JSONL and as a Parquet file for each split, in little memory.

    As a context manager it flushes the last rows at the end.
    """

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        import pyarrow

        text, number = pyarrow.string(), pyarrow.float64()
        types = {"relevance": pyarrow.int64(), "probabilities": pyarrow.list_(number)}
        types |= {"agreement": number, "conflict": pyarrow.bool_(), "score": number, "weight": number}
        self._folder = folder
        self._schema = pyarrow.schema([(name, types.get(name, text)) for name in columns])
        self._waiting: dict[Split, list[dict[str, Any]]] = {split: [] for split in PARQUET}
        self._files: dict[Split, Any] = {}

    def __enter__(self) -> Self:
        self._lines = (self._folder / FILE).open("w", encoding="utf-8")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._lines.close()
        if kind is None:
            for split, rows in self._waiting.items():
                if rows or (split == "train" and split not in self._files):
                    self._write(split)
        for file in self._files.values():
            file.close()

    def add(self, row: dict[str, Any]) -> None:
        """Write a row that has all columns."""
        self._lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        split: Split = row["split"]
        self._waiting[split].append(row)
        if len(self._waiting[split]) == GROUP_ROWS:
            self._write(split)

    def _write(self, split: Split) -> None:
        import pyarrow
        import pyarrow.parquet

        if split not in self._files:
            self._files[split] = pyarrow.parquet.ParquetWriter(self._folder / PARQUET[split], self._schema)
        self._files[split].write_table(pyarrow.Table.from_pylist(self._waiting[split], schema=self._schema))
        self._waiting[split] = []


def read_judgments(folder: Path, split: Split | None = None) -> list[Example]:
    """The judgments of one split, or of all.

    Raises:
        InputError: A line is no judgment; the message says which and why.
    """
    return list(each_judgment(folder, split))


def each_judgment(folder: Path, split: Split | None = None) -> Iterator[Example]:
    """Yield the judgments of one split, or of all; see `read_judgments`."""
    return (item for item in _read(folder, _example) if split is None or item.split == split)


def _read(folder: Path, read: Callable[[dict[str, Any]], Line]) -> Iterator[Line]:
    path = folder / FILE
    for number, line in numbered_lines(path):
        try:
            yield read(json_object(line))
        except (ValueError, KeyError) as error:
            raise InputError(
                f"{path}:{number}: not a judgment ({type(error).__name__}: {error}); "
                f"an object with {', '.join(name for name in COLUMNS if name not in _OPTIONAL)} is expected"
            ) from None


def read_judged_pairs(folder: Path) -> list[Pair]:
    """The pairs of judgments, each with its judgment, to be explained or judged again.

    Raises:
        InputError: A line is no judgment.
    """
    return [
        Pair(item.query, item.document, item.split, origin, item.source, item)
        for item, origin in _read(folder, lambda row: (_example(row), origin_of(row) if row.get("origin") else None))
    ]


def rewrite_judgments(source: Path, folder: Path, splits: Mapping[str, str]) -> list[dict[str, Any]]:
    """Copy the judgments of some questions with new splits, all columns kept, and return their rows.

    Args:
        source: The artifact's folder.
        folder: The folder to write to.
        splits: The new split of each question to copy, by its id.
    """
    rows = [json_object(line) for _, line in numbered_lines(source / FILE)]
    kept = [{**row, "split": splits[row["query_id"]]} for row in rows if row["query_id"] in splits]
    with JudgmentsWriter(folder, tuple(rows[0]) if rows else COLUMNS) as writer:
        for row in kept:
            writer.add(row)
    return kept


def json_object(line: str) -> dict[str, Any]:
    """Parse the JSON object of a line.

    Raises:
        ValueError: The line is no JSON object.
    """
    row = plain_data.parsed(line)
    if not isinstance(row, dict):
        raise ValueError(f"it is {plain_data.shown(row)}, where a JSON object is needed")
    return row


def writable_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row with lone surrogates replaced, which neither JSONL nor Parquet can store."""
    return {name: plain_data.writable(value) if isinstance(value, str) else value for name, value in row.items()}


def _row(example: Example) -> dict[str, Any]:
    return {
        "query_id": example.query.query_id,
        "doc_id": example.document.doc_id,
        "query": example.query.text,
        "document": example.document.full_text,
        "reasoning": example.judgment.reasoning,
        "relevance": int(example.judgment.relevance),
        "probabilities": list(example.probabilities) if example.probabilities else None,
        "split": example.split,
        **source_row(example.source),
    }


def source_row(source: Source) -> dict[str, str]:
    """The columns of a source."""
    return {
        "site": source.site,
        "post_id": source.post_id,
        "url": source.url,
        "author": source.author,
        "licence": source.licence,
    }


def _marked(mark: Mark | None) -> dict[str, Any]:
    if mark is None:
        return dict.fromkeys(COLUMNS[-3:])
    return {"origin": mark.origin, "agreement": mark.agreement, "conflict": mark.conflict}


def source_of(row: dict[str, Any]) -> Source:
    """The source of a row."""
    return Source(*(text_of(row, name) for name in ("site", "post_id", "url", "author", "licence")))


def document_of(row: dict[str, Any]) -> Document:
    """The document of a row."""
    return Document(text_of(row, "doc_id"), text_of(row, "document"))


def instruction_of(row: dict[str, Any]) -> str | None:
    """A row's own instruction; None where it has none.

    Raises:
        ValueError: It is no text.
    """
    return None if row.get(INSTRUCTION) is None else text_of(row, INSTRUCTION)


def text_of(row: dict[str, Any], name: str) -> str:
    """The text in a column.

    Raises:
        ValueError: It is no text.
    """
    try:
        return plain_data.text(row[name])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def origin_of(row: dict[str, Any]) -> Origin:
    """The document's origin.

    Raises:
        ValueError: There is no such origin.
    """
    origin: Origin = row["origin"]
    if origin not in get_args(Origin):
        raise ValueError(f"origin is {plain_data.shown(origin)}, where one of {', '.join(get_args(Origin))} is needed")
    return origin


def split_of(row: dict[str, Any]) -> Split:
    """The split of a row.

    Raises:
        ValueError: There is no such split.
    """
    split: Split = row["split"]
    if split not in ("train", "validation"):
        raise ValueError(f"split is {plain_data.shown(split)}, where train or validation is needed")
    return split


def _example(row: dict[str, Any]) -> Example:
    return Example(
        Query(text_of(row, "query_id"), text_of(row, "query"), instruction_of(row)),
        document_of(row),
        Judgment(text_of(row, "reasoning"), _relevance(row)),
        _probabilities(row),
        split_of(row),
        source_of(row),
        _score(row),
        _weight(row),
    )


def _score(row: dict[str, Any]) -> float | None:
    value = row.get("score")
    try:
        return None if value is None else plain_data.finite(value)
    except ValueError as error:
        raise ValueError(f"score: {error}") from None


def _weight(row: dict[str, Any]) -> float:
    value = row.get("weight")
    try:
        weight = 1.0 if value is None else plain_data.finite(value, least=0)
    except ValueError as error:
        raise ValueError(f"weight: {error}") from None
    if not weight:
        raise ValueError("weight is 0, where a number above 0 is needed")
    return weight


def _relevance(row: dict[str, Any]) -> Relevance:
    try:
        return Relevance(plain_data.whole(row["relevance"], least=0, most=max(Relevance)))
    except ValueError as error:
        raise ValueError(f"relevance: {error}") from None


def _probabilities(row: dict[str, Any]) -> tuple[float, float, float] | None:
    values = row["probabilities"]
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != len(Relevance):
        raise ValueError(f"probabilities is {plain_data.shown(values)}, where one for each grade, or null, is needed")
    try:
        first, second, third = (plain_data.finite(value, least=0, most=1) for value in values)
    except ValueError as error:
        raise ValueError(f"probabilities: {error}") from None
    if abs(first + second + third - 1) > _ROUNDED:
        raise ValueError(f"probabilities is {plain_data.shown(values)}, where a sum of 1 is needed")
    return first, second, third


@dataclass(frozen=True, slots=True)
class JudgedList:
    """A query's documents in the order in which they are shown, with their grades."""

    query: Query
    documents: tuple[Document, ...]
    grades: tuple[int, ...]
    split: Split = "train"
    weights: tuple[float, ...] = ()
    """Each document's weight in training; empty if all are 1."""
    scores: tuple[float, ...] = ()
    """A teacher's score of each document; empty if they stand elsewhere, or nowhere."""

    @classmethod
    def of(cls, examples: Sequence[Example]) -> JudgedList:
        """Make a list of one query's examples, in their order."""
        weights = tuple(item.weight for item in examples)
        return cls(
            examples[0].query,
            tuple(item.document for item in examples),
            tuple(int(item.judgment.relevance) for item in examples),
            examples[0].split,
            weights if set(weights) != {1.0} else (),
        )


def by_question(items: Iterable[Asked]) -> list[list[Asked]]:
    """Group pairs or examples by question, in their order."""
    return list(grouped(items, lambda item: item.query.query_id).values())


def evenly_weighted(examples: Sequence[Example]) -> list[Example]:
    """The examples with their weights scaled to a mean of 1, so that their size does not act as a learning rate."""
    weight = even_weights([example.weight for example in examples])
    return [replace(example, weight=weight(example.weight)) for example in examples]


def even_weights(weights: Sequence[float]) -> Callable[[float], float]:
    """A function that scales these weights to a mean of 1; equal weights all become 1."""
    if len(set(weights)) < 2:
        return lambda _: 1.0
    mean = fmean(weights)
    return lambda weight: weight / mean
