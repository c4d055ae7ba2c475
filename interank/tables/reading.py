"""Readers of tables, row by row with its place: JSONL, JSON, CSV, TSV, Parquet, or a data set of the hub."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from interank import plain_data
from interank.errors import InputError
from interank.ir.benchmarks.rows import ROWS_AT_ONCE, rows_of
from interank.ir.limits import bounded, parquet_batches
from interank.ir.trec import numbered_lines, whole_text
from interank.wording import counted, nearby

_JSON_LINES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
_SEPARATED = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
SUFFIXES = (*_JSON_LINES, *_SEPARATED, ".json", ".json.gz", ".parquet")
SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
# The hub's form owner/name.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SEPARATORS = ",;\t|"
# A field's longest text; csv's default of 131,072 characters is less than a long document.
_LONGEST_FIELD = 1 << 30


class CutShortError(InputError):
    """A table breaks off; the rows before were read."""


class Row(NamedTuple):
    """A row's number and its values, or a ValueError if the values cannot be read."""

    number: int
    values: Mapping[str, Any] | ValueError


@dataclass(frozen=True, slots=True)
class Table:
    """A table: a file or a data set of the hub."""

    path: Path

    @property
    def stem(self) -> str:
        """The file name without the ending of its format."""
        return self.path.name.removesuffix(suffix_of(self.path))

    def where(self, number: int) -> str:
        """The place of a row, for messages."""
        counts_lines = suffix_of(self.path) in (*_JSON_LINES, *_SEPARATED)
        return f"{self.path}:{number}" if counts_lines else f"{self.path}: row {number}"

    def rows(self) -> Iterator[Row]:
        """Every row but blank lines.

        Raises:
            InputError: The table cannot be read; `CutShortError` where it breaks off.
        """
        suffix = suffix_of(self.path)
        if self.path.is_file() and not self.path.stat().st_size:
            raise InputError(f"{self.path} is empty; give a table with rows")
        if not self.path.exists():
            yield from _hub_rows(self.path.as_posix())
        elif suffix == ".parquet":
            yield from _parquet_rows(self.path)
        elif suffix in _SEPARATED:
            yield from _separated_rows(self.path)
        elif suffix in (".json", ".json.gz"):
            yield from _json_rows(self.path)
        else:
            yield from _json_line_rows(self.path)


def suffix_of(path: Path) -> str:
    """The ending of a table's format; empty if the name has no such ending."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")


def find_table(path: Path) -> Table | None:
    """The table at a path, or with that name on the hub; None if the path is something else."""
    if path.is_file():
        return Table(path) if suffix_of(path) else None
    return Table(path) if not path.exists() and is_hub_name(path) else None


def no_table(path: Path) -> str:
    """The message that a path is no table, and what to give instead."""
    kinds = ".jsonl, .json, .csv, .tsv (each also .gz), .parquet, or the name of a data set on the hub"
    if path.suffix.lower() in SPREADSHEETS:
        return f"{path} is a spreadsheet, which cannot be read; save it as CSV and give that file"
    if path.is_dir():
        return f"{path} is a folder, where a table is needed; name the file: {kinds}"
    if path.exists():
        return f"{path} does not have the ending of a table; give one of {kinds}"
    return f"{path} does not exist{nearby(path)}; name a table: {kinds}"


def is_hub_name(path: Path) -> bool:
    """Whether this has the form of a data set's name on the hub, and not of a file name."""
    return _HUB_NAME.fullmatch(path.as_posix()) is not None and not suffix_of(path)


def _json_line_rows(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        try:
            for number, line in enumerate(bounded(file, path), start=1):
                if line.strip():
                    yield Row(number, _object(line))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise CutShortError(f"{path}: breaks off ({error}); fetch it again") from None


def _object(line: bytes) -> Mapping[str, Any] | ValueError:
    try:
        return _checked(plain_data.parsed(line))
    except ValueError as fault:
        return fault


def _checked(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{plain_data.shown(value)} is no JSON object")
    return value


def _json_rows(path: Path) -> Iterator[Row]:
    text = whole_text(path)
    try:
        content = plain_data.parsed(text)
    except ValueError as error:
        raise InputError(
            f"{path} is not JSON ({error}), and has to be a list of objects; mend it, or give a file with one object a "
            "line the ending .jsonl"
        ) from None
    lists = [value for value in content.values() if isinstance(value, list)] if isinstance(content, dict) else []
    rows = content if isinstance(content, list) else lists[0] if len(lists) == 1 else None
    if rows is None:
        raise InputError(
            f"{path} holds {plain_data.shown(content)}, and has to be a list of objects; save the list as a file of "
            "its own"
        )
    for number, row in enumerate(rows, start=1):
        values = row if isinstance(row, dict) else ValueError(f"{plain_data.shown(row)} is no object")
        yield Row(number, values)


def _separated_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_FIELD)
    lines = (f"{line}\n" for _, line in numbered_lines(path))
    head = next(lines, "")
    separator = "\t" if ".tsv" in path.suffixes else max(_SEPARATORS, key=head.count)
    reader = csv.reader(_chained(head, lines), delimiter=separator, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        _check_names(path, names)
        before = reader.line_num
        for fields in reader:
            number, before = before + 1, reader.line_num
            if fields:
                yield Row(number, _named(names, fields))
    except csv.Error as error:
        raise InputError(
            f"{path}:{reader.line_num}: the quotes do not match ({error}); put texts with quotes or line ends in "
            "quotes, and double the quotes inside"
        ) from None


def _chained(head: str, lines: Iterator[str]) -> Iterator[str]:
    yield head
    yield from lines


def _check_names(path: Path, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated or not any(names):
        fault = f"names the column {repeated[0]!r} twice" if repeated else "names no columns"
        raise InputError(f"{path}:1: the first line {fault}; it has to name each column once")


def _named(names: Sequence[str], fields: Sequence[str]) -> Mapping[str, Any] | ValueError:
    if len(fields) != len(names):
        return ValueError(f"the line has {counted(len(fields), 'field')}, and the first line names {len(names)}")
    # CSV has no nulls; an empty field is one.
    return {name: field if field else None for name, field in zip(names, fields, strict=True)}


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            for batch in parquet_batches(table, path, ROWS_AT_ONCE):
                for row in rows_of(batch):
                    number += 1
                    yield Row(number, row)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({error}); fetch or write it again") from None


def _hub_rows(name: str) -> Iterator[Row]:
    import datasets

    try:
        rows = datasets.load_dataset(name, split="train", streaming=True)
        for number, row in enumerate(rows, start=1):
            yield Row(number, row)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(
            f"{name} is no file or folder here{nearby(Path(name))}, and no data set on the hub "
            f"({' '.join(str(error).split())}); check the spelling and the connection"
        ) from None
