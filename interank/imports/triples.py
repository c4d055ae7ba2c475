"""The reader of triples of query, positive and negative: texts, ids, lists of them, or Tevatron's passages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from interank import plain_data
from interank.errors import InputError
from interank.imports.grades import Scale
from interank.imports.labels import Label, Labels, shown
from interank.imports.question_import import tables_of
from interank.imports.results import ImportSettings
from interank.imports.rows import Cells, Rows
from interank.imports.texts import QUERY_ROLES, Texts, read_texts
from interank.ir.trec import numbered_lines
from interank.tables import Row, Table, values
from interank.tables.columns import Columns, Role, assign, first_rows, names_in
from interank.types import Document
from interank.wording import counted

_POSITIVE = ("positive", "pos", "positives", "positive_passages", "positive_doc", "relevant", "chosen", "pos_doc")
_NEGATIVE = (
    *("negative", "neg", "negatives", "negative_passages", "hard_negatives", "hard_negative", "irrelevant"),
    *("rejected", "neg_doc", "negative_1", "negative_id"),
)
_ROLES = (
    *(role._replace(required=role.name == "query") for role in QUERY_ROLES),
    Role("positive", "what is relevant, a text or a list", (*_POSITIVE, "positive_id"), required=True),
    Role(
        "negative",
        "what is not, a text or a list",
        _NEGATIVE,
        required=True,
    ),
)
EXAMPLE = {
    "query": "why does bread collapse",
    "positive": "Steam softens the crumb.",
    "negative": "Coffee tastes sour.",
}
_NAMES = ("query", "positive", "negative")


class _Tabbed(Table):
    """A file with three texts on each line, separated by tabs, and no header."""

    __slots__ = ()

    def rows(self) -> Iterator[Row]:
        """Every line as a row."""
        for number, line in numbered_lines(self.path):
            cells = line.split("\t")
            if len(cells) != len(_NAMES):
                fault = ValueError(
                    f"the line has {counted(len(cells), 'text')} separated by tabs, and needs 3: query, positive and "
                    "negative"
                )
                yield Row(number, fault)
            else:
                yield Row(number, dict(zip(_NAMES, cells, strict=True)))


def read_triples(settings: ImportSettings) -> Labels:
    """Read tables of triples; a document that is positive and negative for one query counts as positive.

    Raises:
        InputError: A column or text is missing, or a row cannot be used.
    """
    tables = [_Tabbed(table.path) if _is_bare(table) else table for table in tables_of(settings.paths)]
    if not tables:
        raise InputError("no table was named; name one of triples: query, positive, negative")
    texts = read_texts(settings)
    where = ", ".join(str(table.path) for table in tables)
    names = names_in(first_rows(tables))
    roles = [
        role._replace(required=role.required and (role.name != "query" or texts.listed is None)) for role in _ROLES
    ]
    columns = assign(where, names, roles, settings.columns)
    # sentence-transformers numbers the columns of several negatives.
    more = [name for name in columns.unused if re.fullmatch("negative_[0-9]+", name)]
    rows = Rows(tables, columns, EXAMPLE)
    counts: Counter[str] = Counter()
    grades: dict[tuple[str, str], Label] = {}
    for cells in rows:
        counts["rows"] += 1
        if texts.empty(cells):
            counts["empty_queries"] += 1
            continue
        counts["empty_documents"] += not _add(grades, cells, texts, more)
    unused = tuple(name for name in columns.unused if name not in more)
    table_columns = Columns(columns.of, columns.told, unused)
    named = {", ".join(table.path.name for table in tables): table_columns, **texts.columns}
    return Labels(list(grades.values()), texts, named, rows.sample or {}, counts, Scale(1, 1))


def _is_bare(table: Table) -> bool:
    """Whether a tab-separated file has no header."""
    if ".tsv" not in table.path.suffixes:
        return False
    cells = next((line.split("\t") for _, line in numbered_lines(table.path)), [])
    known = {name for role in _ROLES for name in role.names}
    return len(cells) == len(_NAMES) and not any(cell.strip().lower() in known for cell in cells)


def _add(grades: dict[tuple[str, str], Label], cells: Cells, texts: Texts, more: list[str]) -> int:
    """Add a row's labels, and return the number of its documents."""
    number = 0
    query = texts.query(cells)
    columns = [("positive", 1.0, cells.columns.value(cells.values, "positive"))]
    columns += [("negative", 0.0, cells.columns.value(cells.values, "negative"))]
    columns += [("negative", 0.0, cells.values.get(name)) for name in more]
    for role, value, cell in columns:
        for document in _documents(cells, texts, role, cell):
            number += 1
            label = Label(query, document, value, texts.origin(None, document))
            known = grades.setdefault((query.query_id, document.doc_id), label)
            if known.value < value:
                grades[query.query_id, document.doc_id] = label
            cells.rows.keep_sample(shown(label))
    return number


def _documents(cells: Cells, texts: Texts, role: str, cell: Any) -> Iterator[Document]:
    """The documents in a cell, without empty ones."""
    if values.is_missing(cell):
        return
    try:
        listed = values.listed(cell)
    except ValueError as fault:
        raise cells.fault(f"{cells.columns.of[role]}: {fault}") from None
    for part in [cell] if listed is None else listed:
        if isinstance(part, str) and part.strip():
            yield texts.of_text(cells, plain_data.writable(part.strip()))
        elif isinstance(part, Mapping):
            within = _passage(cells, part)
            if not texts.empty(within):
                yield texts.document(within)
        elif not isinstance(part, str):
            raise cells.fault(f"{cells.columns.of[role]}: {part!r:.60} is neither a text nor a passage")


def _passage(cells: Cells, part: Mapping[str, Any]) -> Cells:
    """A passage with its id, in Tevatron's form."""
    names = Columns({"doc_id": "docid" if "docid" in part else "doc_id", "document": "text", "title": "title"})
    return cells.inner(part, names)
