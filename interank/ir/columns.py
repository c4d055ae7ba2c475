"""A fast reader of plain run files, by pyarrow: it reads whole columns, and leaves unusual files to `trec`."""

from __future__ import annotations

import codecs
from itertools import pairwise

import numpy
import pyarrow
import pyarrow.csv
from numpy.typing import NDArray

from interank.types import RunFile

_COLUMNS = ("query", "iteration", "document", "rank", "score", "tag")
_TEXT = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
_KINDS = dict.fromkeys(_COLUMNS, pyarrow.binary()) | {"query": _TEXT, "document": _TEXT, "score": pyarrow.float64()}
# Their values are not used; they are read to check that each line has six columns.
_UNREAD = ("iteration", "rank", "tag")
# Bytes in a parsing block: small enough that every core gets one.
_BLOCK = 4_000_000
# Beyond this score, float32 rounding near overflow is left to `Run`.
_ROOMY = 1e30

_Coded = tuple[list[str], NDArray[numpy.int32]]
"""A column's distinct values, and each line's index into them."""


def read_columns(data: bytes, separator: str) -> RunFile | None:
    """Read a run from the bytes of its file.

    Returns:
        None unless every line has six columns without an empty one, a finite score and its own pair of ids, and none
        is a comment. `trec`'s reader by lines then reads the file, or names its error.
    """
    table = _parsed(data, separator) if _is_plain_text(data) else None
    if table is None:
        return None
    (queries, query_of), (documents, document_of) = _coded(table["query"]), _coded(table["document"])
    # Not by to_numpy(), which imports pandas.
    scores = numpy.from_dlpack(table["score"].combine_chunks()).astype(numpy.float64, copy=False)
    is_plain = "" not in documents and not any(query_id == "" or query_id.startswith("#") for query_id in queries)
    if not (is_plain and numpy.isfinite(scores).all()):
        return None
    # All lines of an id share one string, which saves time and memory.
    ids, values = numpy.array(documents, dtype=object)[document_of].tolist(), scores.tolist()
    changes = numpy.flatnonzero(numpy.diff(query_of)) + 1
    scored: dict[str, dict[str, float]] = {}
    for start, end in pairwise([0, *changes.tolist(), len(values)]):
        rows = zip(ids[start:end], values[start:end], strict=True)
        scored.setdefault(queries[query_of[start]], {}).update(rows)
    # A repeated pair leaves fewer entries.
    if sum(map(len, scored.values())) < len(values):
        return None
    together = len(scored) == len(changes) + 1
    falling = frozenset(scored) - _not_falling(list(scored), scores, changes) if together else frozenset[str]()
    return RunFile(scored, table["tag"][0].as_py().decode(), falling)


def _not_falling(queries: list[str], scores: NDArray[numpy.float64], changes: NDArray[numpy.int64]) -> frozenset[str]:
    """The queries that have a score not below the one before it; their lines begin at 0 and at `changes`."""
    if numpy.abs(scores).max() > _ROOMY:
        return frozenset(queries)
    single = scores.astype(numpy.float32)
    risen = numpy.setdiff1d(numpy.flatnonzero(single[1:] >= single[:-1]) + 1, changes)
    return frozenset(queries[place] for place in numpy.searchsorted(changes, risen, side="right").tolist())


def _is_plain_text(data: bytes) -> bool:
    """Whether the bytes are UTF-8 without a byte order mark or carriage return, which pyarrow would not keep."""
    if b"\r" in data or data.startswith(codecs.BOM_UTF8):
        return False
    try:
        if not data.isascii():
            data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parsed(data: bytes, separator: str) -> pyarrow.Table | None:
    """The lines as a table; None if pyarrow cannot parse them or an unused column has an empty value."""
    try:
        table = pyarrow.csv.read_csv(
            pyarrow.py_buffer(data),
            pyarrow.csv.ReadOptions(column_names=_COLUMNS, block_size=_BLOCK),
            pyarrow.csv.ParseOptions(
                delimiter=separator, quote_char=False, double_quote=False, escape_char=False, ignore_empty_lines=False
            ),
            pyarrow.csv.ConvertOptions(column_types=_KINDS, null_values=[]),
        )
    except pyarrow.ArrowInvalid:
        return None
    # An empty value would hide a line that has one blank too many and one column too few.
    return None if any(map(_has_empty, (table[name] for name in _UNREAD))) else table.unify_dictionaries()


def _has_empty(column: pyarrow.ChunkedArray) -> bool:
    """Whether a value is empty, told by the offsets in the buffer: pyarrow.compute is slow to import."""
    offsets = (numpy.frombuffer(chunk.buffers()[1], numpy.int32, len(chunk) + 1) for chunk in column.chunks)
    return any((numpy.diff(each) == 0).any() for each in offsets)


def _coded(column: pyarrow.ChunkedArray) -> _Coded:
    coded = column.combine_chunks()
    return coded.dictionary.to_pylist(), numpy.from_dlpack(coded.indices).astype(numpy.int32, copy=False)
