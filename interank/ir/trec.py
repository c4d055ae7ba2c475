"""Readers and writers of TREC's qrels and run files, plain or gzip."""

from __future__ import annotations

import codecs
import gzip
import io
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interank import plain_data
from interank.errors import InputError
from interank.ir.limits import bounded, most_at_once, read_whole
from interank.types import Qrel, Run, RunFile

GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, section 2.3.1

QRELS_COLUMNS = "4 columns (query, iteration, document, relevance) or 3 (query, document, relevance)"
RUN_COLUMNS = "6 columns (query, Q0, document, rank, score, tag)"

_HEADER_STARTS = frozenset({"query-id", "query_id", "qid"})
# At most nine digits: no collection has more, and Python refuses thousands of digits. Tables of floats write 1.0.
_INTEGER = re.compile(r"([+-]?[0-9]{1,9})(?:\.0*)?")
# Blanks that separate no columns: all but the last of several, and those at the end of a line.
_PADDING = re.compile(rb" +(?=[ \n])")
# A row of qrels (TREC's, then BEIR's) or of a run whose query id begins with #.
_NAMED_LIKE_A_COMMENT = re.compile(
    r"#(\S+)(?:[\t ]+Q?[0-9]+[\t ]+\S+[\t ]+[+-]?[0-9]+|\t[^\t]+\t[+-]?[0-9]+"
    r"|[\t ]+Q?[0-9]+[\t ]+\S+[\t ]+[0-9]+[\t ]+[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?[\t ]+\S+)\s*"
)
_UNWRITABLE = re.compile(r"[\t\r\n]|^$")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Each line of a UTF-8 text file with its number from 1, without its line end.

    Gzip is recognised by the first bytes, not by the name. A byte order mark is removed, and CRLF read as a line end.

    Raises:
        InputError: The file cannot be opened, is not UTF-8, has a line too long for memory, or its gzip stream is cut
            or damaged.
    """
    try:
        with _bytes(path) as stream, io.TextIOWrapper(bounded(stream, path), encoding="utf-8-sig") as text:
            for number, line in enumerate(text, start=1):
                yield number, line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise _undecodable(f"{path}:{_first_undecodable_line(path)}", error) from error


def whole_text(path: Path) -> str:
    """The text of a UTF-8 file that has to be read as a whole, plain or gzip.

    Raises:
        InputError: The file cannot be opened, is too large for memory, is not UTF-8, or its gzip stream is cut or
            damaged.
    """
    with _bytes(path) as stream:
        data = read_whole(stream, path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _undecodable(f"{path}:{line}", error) from error


def _undecodable(where: str, error: UnicodeDecodeError) -> InputError:
    return InputError(f"{where}: the line has bytes that are not UTF-8 ({error.reason}); save the file as UTF-8")


@contextmanager
def _bytes(path: Path) -> Iterator[io.BufferedReader[Any]]:
    """The file's bytes, unpacked; a fault in reading becomes an InputError."""
    try:
        with path.open("rb", buffering=0) as raw:
            buffered = io.BufferedReader(raw)
            packed = buffered.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
            if raw.seekable():
                # A fresh buffer: `read` would copy the peeked bytes once more. A pipe cannot seek back.
                buffered.detach().seek(0)
                buffered = io.BufferedReader(raw)
            yield io.BufferedReader(gzip.GzipFile(fileobj=buffered)) if packed else buffered
    except EOFError as error:
        raise InputError(
            f"{path}: the gzip stream is cut: the file ends before its end marker; fetch the whole file again"
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the gzip stream is damaged ({error}); fetch the file again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); name a readable file") from error


def _first_undecodable_line(path: Path) -> int:
    """The number of the first line that is not UTF-8; the decoder reads blocks, and does not tell the line."""
    with _bytes(path) as stream:
        lines = enumerate(bounded(stream, path), start=1)
        return next(number for number, line in lines if line.decode("utf-8", "replace").encode() != line)


def read_qrels(path: Path) -> list[Qrel]:
    """Read human judgments, in file order: TREC's four columns or BEIR's three under an optional header.

    Columns are separated by tabs if the line has a tab, so that ids may hold blanks, otherwise by blanks. Lines
    that start with `#` are comments. One that looks like a row is a comment only if other lines have its query id
    without the `#`; otherwise it is refused.

    Raises:
        InputError: Wrong columns, a relevance that is no integer, a repeated pair, a query id that begins with `#`, or
            no judgment.
    """
    qrels: dict[tuple[str, str], Qrel] = {}
    for place, (where, columns) in enumerate(_rows(path)):
        grade = _INTEGER.fullmatch(columns[-1].strip())
        if place == 0 and grade is None and columns[0].lower() in _HEADER_STARTS:
            continue
        if len(columns) not in (3, 4):
            raise InputError(f"{where}: the line has {_counted(columns)}, and needs {QRELS_COLUMNS}; mend it")
        if grade is None:
            raise InputError(f"{where}: the relevance is {columns[-1]!r}, where an integer is needed; mend the line")
        qrel = Qrel(columns[0], columns[-2], int(grade[1]))
        _check_new(where, qrel.query_id, qrel.doc_id, known=(qrel.query_id, qrel.doc_id) in qrels)
        qrels[qrel.query_id, qrel.doc_id] = qrel
    if not qrels:
        raise InputError(f"{path} holds no judgment; name a file with lines of {QRELS_COLUMNS}")
    return list(qrels.values())


def read_run(path: Path) -> Run:
    """Read a ranking as trec_eval does: by float32 score, then by descending document id; ranks are ignored.

    Columns and comments are read as in `read_qrels`; the run's tag is that of its first line. The run's `tied`
    counts the documents that share their score with another of their query; `interank.ir.measures.tie_bounds`
    computes, from the scores of `read_scored`, how much their order matters.

    Raises:
        InputError: Wrong columns, a score that is no number, a document ranked twice, a query id that begins with `#`,
            or no ranking.
    """
    file = read_run_file(path)
    return Run.from_trec_eval(file.scored, tag=file.tag, falling=file.falling)


def read_scored(path: Path) -> dict[str, dict[str, float]]:
    """The scores in a run file as written, by query and document: ties stay ties.

    Raises:
        InputError: As in `read_run`.
    """
    return read_run_file(path).scored


def read_run_file(path: Path) -> RunFile:
    """The scores and the tag of a run file.

    Raises:
        InputError: As in `read_run`.
    """
    return _plain_run_file(path) or _any_run_file(path)


def _plain_run_file(path: Path) -> RunFile | None:
    """The run file read by columns, which almost every file allows; None if it has to be read by lines."""
    from interank.ir.columns import read_columns  # slow to import, and `interank --help` imports this module

    most = most_at_once()
    with _bytes(path) as stream:
        data = stream.read(most + 1).removeprefix(codecs.BOM_UTF8)
    if len(data) > most:
        return None
    data = data.replace(b"\r\n", b"\n") if b"\r" in data else data
    separator = "\t" if b"\t" in io.BytesIO(data).readline() else " "
    if separator == " " and b"\t" in data:
        return None
    file = read_columns(data, separator)
    if file is None and separator == " " and (unpadded := _PADDING.sub(b"", data)) != data:
        file = read_columns(unpadded, separator)
    return file


def _any_run_file(path: Path) -> RunFile:
    scored: dict[str, dict[str, float]] = {}
    tag = ""
    for where, columns in _rows(path):
        if len(columns) != 6:
            raise InputError(f"{where}: the line has {_counted(columns)}, and needs {RUN_COLUMNS}; mend it")
        query_id, _, doc_id, _, score, line_tag = columns
        ranking = scored.setdefault(query_id, {})
        _check_new(where, query_id, doc_id, known=doc_id in ranking)
        ranking[doc_id] = _score(where, score)
        tag = tag or line_tag
    if not scored:
        raise InputError(f"{path} holds no ranking; name a file with lines of {RUN_COLUMNS}")
    return RunFile(scored, tag)


def write_run(run: Run, path: Path) -> None:
    """Write a run, whole or not at all; as gzip when the name ends in `.gz`.

    Columns are separated by blanks, or by tabs if an id holds a blank. Equal runs give equal bytes. A query
    without documents gets no line.

    Raises:
        InputError: A run file cannot hold one of the ids, or the file cannot be written.
    """
    names = {run.tag, *run}.union(*(run.scores(query_id) for query_id in run))
    for name in sorted(names):
        if _UNWRITABLE.search(name):
            raise InputError(
                f"{path} cannot be written: the id or tag {name!r} is empty or has a tab or a line break, "
                "which separate columns and lines; rename it"
            )
    for query_id in run:
        if query_id.startswith("#"):
            raise InputError(
                f"{path} cannot be written: the query id {query_id!r} begins with '#', as a comment does; rename "
                "the query"
            )
    separator = "\t" if any(" " in name for name in names) else " "
    _write_whole(path, (_lines(run, query_id, separator) for query_id in run))


def copy_run(run: Run, source: Path, path: Path) -> bool:
    """Copy the file that a run was read from, if both are equal: far faster than formatting the run.

    Returns:
        True if the file was copied. False if some documents tie or are out of order, or if the run has only a
        part of the file's lines.

    Raises:
        InputError: The file cannot be read, or the copy cannot be written.
    """
    if run.reordered:
        return False
    with _bytes(source) as stream:
        data = stream.read(most_at_once() + 1)
    lines = sum(len(run.scores(query_id)) for query_id in run)
    if data.count(b"\n") != lines or data.startswith(codecs.BOM_UTF8) or b"\r" in data or not data.endswith(b"\n"):
        return False
    _write_whole(path, [data])
    return True


def _lines(run: Run, query_id: str, separator: str) -> bytes:
    """A query's ranking as lines of a run file."""
    head, tail = f"{query_id}{separator}Q0{separator}", f"{separator}{run.tag}\n"
    lines = [
        f"{head}{doc_id}{separator}{rank}{separator}{score!r}{tail}"
        for rank, (doc_id, score) in enumerate(run.scores(query_id).items(), start=1)
    ]
    return "".join(lines).encode()


def tag_of(path: Path) -> str | None:
    """The tag in a run file's first line; None if that line is not one of a run."""
    try:
        columns = next((columns for _, columns in _rows(path)), [])
    except InputError:
        return None
    return columns[5] if len(columns) == 6 else None


def _rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The place (`file:line`) and the columns of each line with data."""
    queries: set[str] = set()
    doubtful: dict[str, int] = {}
    for number, line in numbered_lines(path):
        if line.startswith("#"):
            if match := _NAMED_LIKE_A_COMMENT.fullmatch(line):
                doubtful.setdefault(match[1], number)
        elif line.strip():
            # Not str.split(): it also splits at no-break spaces, which ids may hold.
            columns = line.split("\t") if "\t" in line else [part for part in line.split(" ") if part]
            queries.add(columns[0])
            yield f"{path}:{number}", columns
    for query_id, number in doubtful.items():
        if query_id not in queries:
            raise InputError(
                f"{path}:{number}: the query id {'#' + query_id[:60]!r} begins with #, as comments do in TREC's files; "
                "rename the query in all files, or put a blank after the # of a comment"
            )


def _counted(columns: list[str]) -> str:
    return f"{len(columns)} column{'' if len(columns) == 1 else 's'} ({' | '.join(columns)})"


def _check_new(where: str, query_id: str, doc_id: str, *, known: bool) -> None:
    if not (query_id and doc_id):
        raise InputError(f"{where}: the query id or the document id is empty; mend the line")
    if known:
        raise InputError(
            f"{where}: query {query_id!r} with document {doc_id!r} is on an earlier line too; remove one of the two"
        )


def _score(where: str, text: str) -> float:
    try:
        score = plain_data.spelled(text)
    except ValueError as error:
        raise InputError(f"{where}: the score is {text!r}, where a number is needed; mend the line") from error
    if not math.isfinite(score):
        raise InputError(f"{where}: the score is {score}, where a finite number is needed; mend the line")
    return score


def _write_whole(path: Path, parts: Iterable[bytes]) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as raw:
            if path.name.endswith(".gz"):
                # A header without name and time, so that equal content gives equal bytes.
                with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
                    packed.writelines(parts)
            else:
                raw.writelines(parts)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); name a file in a writable folder"
        ) from error


def line_of(path: Path, query_id: str, doc_id: str | None = None) -> str:
    """The first line (`file:line`) of a qrels or run file with this query and, if given, this document."""
    for where, columns in _rows(path):
        if columns[0] == query_id and (doc_id is None or columns[1 if len(columns) == 3 else 2] == doc_id):
            return where
    return str(path)
