"""Rows of JSONL and Parquet files, and the columns of a row; every error names the file and the line or row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from interank import plain_data
from interank.errors import InputError
from interank.ir.limits import parquet_batches
from interank.ir.trec import numbered_lines
from interank.wording import counted, listed

# BRIGHT's entry for an empty list.
NOTHING = "N/A"

# A row's place, for messages, and its value.
Row = tuple[str, object]

ROWS_AT_ONCE = 1024
# Numeric ids are smaller; Python refuses to print numbers of thousands of digits.
_LARGEST_ID = 10**30


def read_rows(paths: Iterable[Path]) -> Iterator[Row]:
    """Each row of JSONL (plain or gzip) and Parquet files, with its place.

    Raises:
        InputError: A file cannot be read, or a line is not JSON.
    """
    for path in paths:
        yield from parquet_rows(path) if path.suffix == ".parquet" else json_rows(path)


def json_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSONL file; blank lines are skipped."""
    for number, line in numbered_lines(path):
        if line.strip():
            where = f"{path}:{number}"
            yield where, parse_json(where, line)


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file, numbered from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq  # slow to import

    number = 0
    try:
        with pq.ParquetFile(path) as table:
            for batch in parquet_batches(table, path, ROWS_AT_ONCE):
                for row in rows_of(batch):
                    number += 1
                    if isinstance(row, Exception):
                        raise InputError(f"{path}: row {number}: {row}; mend or remove it")
                    yield f"{path}: row {number}", row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: row {number + 1} cannot be read as Parquet ({reason}); fetch the whole file again"
        ) from error


def rows_of(batch: Any) -> Iterator[dict[str, Any] | ValueError]:
    """The rows of a Parquet batch; a row that Python cannot hold, such as text that is not UTF-8, is a ValueError."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        rows = []
    yield from rows
    if not rows:
        for place in range(batch.num_rows):
            try:
                yield batch.slice(place, 1).to_pylist()[0]
            except (ValueError, OverflowError) as error:
                yield ValueError(f"the row cannot be read ({error})")


def parse_json(where: str, text: str) -> object:
    """The text parsed as JSON."""
    try:
        return plain_data.parsed(text)
    except ValueError as error:
        raise InputError(f"{where} is not JSON ({error}); mend or remove it") from error


def value(where: str, row: object, names: tuple[str, ...]) -> object:
    """The value of the first of these columns that the row has."""
    cells = columns(where, row)
    for name in names:
        if name in cells:
            return cells[name]
    raise InputError(f"{where} has no column {' or '.join(names)}, only {listed(cells, 'an empty row')}; add it")


def columns(where: str, row: object) -> Mapping[str, object]:
    """The row as a mapping of its columns."""
    if not isinstance(row, dict):
        raise InputError(f"{where} is {plain_data.shown(row)}, where a JSON object is needed; mend or remove it")
    return row


def string(where: str, row: object, names: tuple[str, ...]) -> str:
    """The text of the first of these columns that the row has."""
    cell = value(where, row, names)
    # RankGPT writes query ids as numbers.
    if isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) < _LARGEST_ID:
        return str(cell)
    if not isinstance(cell, str):
        raise InputError(f"{where}: {' or '.join(names)} is {plain_data.shown(cell)}, where a text is needed; mend it")
    check_writable(where, cell, names[0])
    return cell


def filled(where: str, row: object, names: tuple[str, ...]) -> str:
    """The text of the first of these columns that the row has, which must not be blank."""
    text = string(where, row, names)
    if not text.strip():
        raise InputError(f"{where}: {' or '.join(names)} is empty; fill it in, or remove the row")
    return text


def check_writable(where: str, text: str, name: str) -> None:
    """Refuse half of a surrogate pair, which JSON can spell but no file or tokenizer can hold."""
    if half := plain_data.half_character(text):
        raise InputError(f"{where}: the {name} holds {half!r}, half a character that UTF-8 cannot write; mend it")


def ids(where: str, row: object, name: str) -> tuple[str, ...]:
    """The ids in one of BRIGHT's list columns, repeats included; empty if the row has no such column."""
    cell = columns(where, row).get(name, [])
    if not (isinstance(cell, list) and all(isinstance(doc_id, str) for doc_id in cell)):
        raise InputError(f"{where}: {name} is {plain_data.shown(cell)}, where a list of ids is needed; mend it")
    for doc_id in cell:
        check_writable(where, doc_id, name)
    return tuple(doc_id for doc_id in cell if doc_id != NOTHING)


def tab_rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """The place, id and text of each line of a file with MS MARCO's two columns."""
    for number, line in numbered_lines(path):
        if line.strip():
            where = f"{path}:{number}"
            row_id, tab, text = line.partition("\t")
            if not tab or "\t" in text:
                number_of_columns = len(line.split("\t"))
                raise InputError(
                    f"{where}: the line has {counted(number_of_columns, 'column')} separated by tabs, and needs 2, id "
                    "and text; mend it"
                )
            yield where, row_id.strip(), text
