"""The columns of a run file read at once, by pyarrow: several times as fast as line by line, and only what is plain."""

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
# They say nothing that is wanted, but that there are six.
_UNREAD = ("iteration", "rank", "tag")
# Bytes that are parsed at once: few enough for every core to have some.
_BLOCK = 4_000_000
# Beyond this, rounding to float32 is left to the careful.
_ROOMY = 1e30

_Coded = tuple[list[str], NDArray[numpy.int32]]
"""A column's distinct values, and which of them each line has."""


def read_columns(data: bytes, separator: str) -> RunFile | None:
    """What a run's lines say.

    Returns:
        None unless each line has six columns, none of them empty, a finite number as its score, and a pair of ids that
        no other line has, and none is a comment. What is wrong, or only unusual, is for a more careful reader to say.
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
    # An id is one object on all its lines, which spares the time and the memory of a new one on each.
    ids, values = numpy.array(documents, dtype=object)[document_of].tolist(), scores.tolist()
    changes = numpy.flatnonzero(numpy.diff(query_of)) + 1
    scored: dict[str, dict[str, float]] = {}
    for start, end in pairwise([0, *changes.tolist(), len(values)]):
        rows = zip(ids[start:end], values[start:end], strict=True)
        scored.setdefault(queries[query_of[start]], {}).update(rows)
    # A pair that stands twice leaves fewer entries.
    if sum(map(len, scored.values())) < len(values):
        return None
    together = len(scored) == len(changes) + 1
    falling = frozenset(scored) - _not_falling(list(scored), scores, changes) if together else frozenset[str]()
    return RunFile(scored, table["tag"][0].as_py().decode(), falling)


def _not_falling(queries: list[str], scores: NDArray[numpy.float64], changes: NDArray[numpy.int64]) -> frozenset[str]:
    """Which queries have a score that is not below the one before; their lines begin at 0 and at the changes."""
    if numpy.abs(scores).max() > _ROOMY:
        return frozenset(queries)
    single = scores.astype(numpy.float32)
    risen = numpy.setdiff1d(numpy.flatnonzero(single[1:] >= single[:-1]) + 1, changes)
    return frozenset(queries[place] for place in numpy.searchsorted(changes, risen, side="right").tolist())


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


def _parsed(data: bytes, separator: str) -> pyarrow.Table | None:
    """The lines as a table; None where pyarrow reads no such columns, or an unread one has nothing in it."""
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
    # Else a blank too many could stand for a column too few.
    return None if any(map(_holds_nothing, (table[name] for name in _UNREAD))) else table.unify_dictionaries()


def _holds_nothing(column: pyarrow.ChunkedArray) -> bool:
    """Whether some value is empty, by where each one begins: pyarrow's own functions take a while to import."""
    starts = (numpy.frombuffer(chunk.buffers()[1], numpy.int32, len(chunk) + 1) for chunk in column.chunks)
    return any((numpy.diff(each) == 0).any() for each in starts)


def _coded(column: pyarrow.ChunkedArray) -> _Coded:
    coded = column.combine_chunks()
    return coded.dictionary.to_pylist(), numpy.from_dlpack(coded.indices).astype(numpy.int32, copy=False)
