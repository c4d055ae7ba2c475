"""Rows of JSONL and Parquet files, and the columns of a row: every fault is told with its file and line or row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from interank import plain_data
from interank.errors import InputError
from interank.ir.limits import parquet_batches
from interank.ir.trec import numbered_lines
from interank.wording import counted, listed

# BRIGHT writes this in place of an empty list.
NOTHING = "N/A"

# A file or several of them, and what a row stands at in there.
Row = tuple[str, object]

ROWS_AT_ONCE = 1024
# Ids that are numbers have fewer digits than Python refuses to print.
_LARGEST_ID = 10**30


def read_rows(paths: Iterable[Path]) -> Iterator[Row]:
    """Each row of JSONL (plain or gzip) and Parquet files, after the place where it stands.

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
    """The rows of a batch of Parquet; in place of one that Python has no value for, as text in no UTF-8, the fault."""
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
                yield ValueError(f"found what cannot be read ({error})")


def parse_json(where: str, text: str) -> object:
    """What the text says as JSON."""
    try:
        return plain_data.parsed(text)
    except ValueError as error:
        raise InputError(f"{where} is not JSON ({error}); mend or remove it") from error


def value(where: str, row: object, names: tuple[str, ...]) -> object:
    """The value of the first of these columns that the row has."""
    found = columns(where, row)
    for name in names:
        if name in found:
            return found[name]
    raise InputError(f"{where} has no column {' or '.join(names)}, only {listed(found, 'an empty row')}; add it")


def columns(where: str, row: object) -> Mapping[str, object]:
    """The row as columns."""
    if not isinstance(row, dict):
        raise InputError(f"{where} is {plain_data.shown(row)}, where a JSON object is needed; mend or remove it")
    return row


def string(where: str, row: object, names: tuple[str, ...]) -> str:
    """A column's text."""
    found = value(where, row, names)
    # RankGPT writes query ids as numbers.
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) < _LARGEST_ID:
        return str(found)
    if not isinstance(found, str):
        raise InputError(f"{where}: {' or '.join(names)} is {plain_data.shown(found)}, where a text is needed; mend it")
    check_writable(where, found, names[0])
    return found


def filled(where: str, row: object, names: tuple[str, ...]) -> str:
    """A column's text, which must not be blank."""
    found = string(where, row, names)
    if not found.strip():
        raise InputError(f"{where}: {' or '.join(names)} is empty; fill it in, or remove the row")
    return found


def check_writable(where: str, text: str, name: str) -> None:
    """JSON can spell half of a surrogate pair, which no file and no tokenizer takes."""
    if half := plain_data.half_character(text):
        raise InputError(f"{where}: the {name} holds {half!r}, half a character that UTF-8 cannot write; mend it")


def ids(where: str, row: object, name: str) -> tuple[str, ...]:
    """The ids listed in a column of BRIGHT's, as they stand there; none where the row has no such column."""
    found = columns(where, row).get(name, [])
    if not (isinstance(found, list) and all(isinstance(doc_id, str) for doc_id in found)):
        raise InputError(f"{where}: {name} is {plain_data.shown(found)}, where a list of ids is needed; mend it")
    for doc_id in found:
        check_writable(where, doc_id, name)
    return tuple(doc_id for doc_id in found if doc_id != NOTHING)


def tab_rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """Id and text of each line of MS MARCO's two columns, after its place."""
    for number, line in numbered_lines(path):
        if line.strip():
            where = f"{path}:{number}"
            row_id, tab, text = line.partition("\t")
            if not tab or "\t" in text:
                found = len(line.split("\t"))
                raise InputError(
                    f"{where}: the line has {counted(found, 'column')} parted by tabs, and needs 2, id and text; "
                    "mend it"
                )
            yield where, row_id.strip(), text
