"""Corpora: documents by id, from JSONL, Parquet and tab-separated files."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from interank.errors import InputError
from interank.ir.benchmarks.rows import columns, filled, read_rows, string, tab_rows
from interank.ir.trec import numbered_lines
from interank.types import Document
from interank.wording import counted

_ID = ("_id", "id")  # BEIR's column, then BRIGHT's
_TEXT = ("text", "content")

_Placed = tuple[str, Document]


def read_documents(path: Path) -> dict[str, Document]:
    """Read a corpus file's documents by id: JSONL, plain or gzipped, or Parquet, with BEIR's or BRIGHT's columns.

    Raises:
        InputError: A row is no document, or two documents with different texts have the same id.
    """
    return read_corpus([path], Counter())


def first_document(path: Path) -> Document:
    """Read a corpus file's first document, to check that the file is a corpus.

    Raises:
        InputError: The file has no row, or its first row is no document.
    """
    first = next(iter(_rows([path])), None)
    if first is None:
        raise InputError(f"{path}: found no row, expected one JSON object a line; name a file with documents")
    return first[1]


def read_corpus(paths: Iterable[Path], counts: Counter[str]) -> dict[str, Document]:
    """Read the documents of all these files as `read_documents` does; repeats are counted and kept once."""
    files = list(paths)
    return _by_id(files, _rows(files), counts, "one JSON object a line")


def read_tab_corpus(path: Path, counts: Counter[str], *, quoted: bool) -> dict[str, Document]:
    """Read the documents of a file with two columns, id and text, separated by a tab.

    Args:
        path: The file, plain or gzip.
        counts: Takes the number of repeated and of empty documents.
        quoted: Whether texts may be in quotes, as spreadsheets write them; MS MARCO's never are.
    """
    rows = _quoted_rows(path) if quoted else tab_rows(path)
    placed = ((where, Document(doc_id, text)) for where, doc_id, text in rows)
    return _by_id([path], placed, counts, "lines of id, tab, text")


def _by_id(files: list[Path], placed: Iterable[_Placed], counts: Counter[str], expected: str) -> dict[str, Document]:
    documents: dict[str, Document] = {}
    for where, document in placed:
        if not document.doc_id:
            raise InputError(f"{where}: the id is empty; fill it in, or remove the line")
        known = documents.setdefault(document.doc_id, document)
        if known is not document:
            if known != document:
                raise InputError(
                    f"{where}: an earlier row has the id {document.doc_id!r} with another text; rename or remove one "
                    "of the two"
                )
            counts["repeated_documents"] += 1
        elif not (document.title or document.text):
            counts["empty_documents"] += 1
    if not documents:
        raise InputError(f"{files[0]} is empty; name a file that holds {expected}")
    return documents


def _rows(files: Iterable[Path]) -> Iterator[_Placed]:
    for where, row in read_rows(files):
        title = string(where, row, ("title",)) if columns(where, row).get("title") is not None else ""
        yield where, Document(filled(where, row, _ID), string(where, row, _TEXT), title)


def _quoted_rows(path: Path) -> Iterator[tuple[str, str, str]]:
    reader = csv.reader((f"{line}\n" for _, line in numbered_lines(path)), delimiter="\t", strict=True)
    try:
        for row in reader:
            if row:
                where = f"{path}:{reader.line_num}"
                if len(row) != 2:
                    raise InputError(
                        f"{where}: the line has {counted(len(row), 'column')} separated by tabs, and needs 2, id and "
                        "text; mend it"
                    )
                yield where, row[0].strip(), row[1].removesuffix("\n")
    except csv.Error as error:
        raise InputError(
            f"{path}:{reader.line_num}: the quotes do not match ({error}); put the whole text in quotes"
        ) from error
