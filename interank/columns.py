"""The columns of a run file read at once, by pyarrow: several times as fast as line by line, and only what is plain."""

from __future__ import annotations

import codecs
from itertools import pairwise
from typing import Any

import numpy
import pyarrow
import pyarrow.csv
from numpy.typing import NDArray

_COLUMNS = ("query", "iteration", "document", "rank", "score", "tag")
_TEXT = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
_KINDS = {"query": _TEXT, "document": _TEXT, "score": pyarrow.float64()}
# Bytes that are parsed at once: few enough for every core to have some.
_BLOCK = 4_000_000

_Coded = tuple[list[str], NDArray[numpy.int32]]
"""A column's distinct values, and which of them each line has."""


def read_columns(data: bytes, separator: str) -> dict[str, dict[str, float]] | None:
    """The scores in a run's lines by query and document, in the order of the lines.

    Returns:
        None unless each line has six columns, ids, a finite number as its score, and a pair that no other line has,
        and none is a comment. What is wrong, or only unusual, is for a more careful reader to say.
    """
    columns = _parsed(data, separator) if _is_plain_text(data) else None
    if columns is None:
        return None
    (queries, query_of), (documents, document_of), scores = columns
    is_plain = "" not in documents and not any(query_id == "" or query_id.startswith("#") for query_id in queries)
    if not (is_plain and numpy.isfinite(scores).all()):
        return None
    # An id is one object on all its lines, which spares the time and the memory of a new one on each.
    ids, values = numpy.array(documents, dtype=object)[document_of].tolist(), scores.tolist()
    changes = numpy.flatnonzero(numpy.diff(query_of)) + 1
    scored: dict[str, dict[str, float]] = {}
    for start, end in pairwise([0, *changes.tolist(), len(values)]):
        rows = zip(ids[start:end], values[start:end], strict=True)
        scored.setdefault(queries[query_of[start]], {}).update(rows)
    # A pair that stands twice leaves fewer entries.
    return scored if sum(map(len, scored.values())) == len(values) else None


def _is_plain_text(data: bytes) -> bool:
    """Whether it is UTF-8, without what pyarrow takes for the end of a line or off the text's beginning."""
    if b"\r" in data or data.startswith(codecs.BOM_UTF8):
        return False
    try:
        if not data.isascii():
            data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parsed(data: bytes, separator: str) -> tuple[_Coded, _Coded, NDArray[numpy.float64]] | None:
    """Queries, documents and scores line by line; None where pyarrow reads no such columns."""
    try:
        table = pyarrow.csv.read_csv(
            pyarrow.py_buffer(data),
            pyarrow.csv.ReadOptions(column_names=_COLUMNS, block_size=_BLOCK),
            pyarrow.csv.ParseOptions(
                delimiter=separator, quote_char=False, double_quote=False, escape_char=False, ignore_empty_lines=False
            ),
            pyarrow.csv.ConvertOptions(column_types=_KINDS, include_columns=list(_KINDS), null_values=[]),
        )
    except pyarrow.ArrowInvalid:
        return None
    queries, documents, scores = (column.combine_chunks() for column in table.unify_dictionaries().columns)
    # Not by to_numpy(), which imports pandas.
    return _coded(queries), _coded(documents), numpy.from_dlpack(scores).astype(numpy.float64, copy=False)


def _coded(column: Any) -> _Coded:
    return column.dictionary.to_pylist(), numpy.from_dlpack(column.indices).astype(numpy.int32, copy=False)
