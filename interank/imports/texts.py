"""Queries and documents of labelled rows: their texts are in the row, or in separate files by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from interank import plain_data
from interank.errors import InputError
from interank.imports.results import ImportSettings
from interank.imports.rows import Cells, Rows
from interank.ir.trec import numbered_lines
from interank.tables import Table, find_table
from interank.tables.columns import Columns, Role, assign, first_rows, names_in
from interank.tasks.head.groups.reading import named
from interank.types import Document, Query, Source
from interank.wording import nearby

_TITLE = Role("title", "the document's title", ("title", "doc_title", "document_title", "headline"))
QUERY_ROLES = (
    Role("query_id", "the query's id", ("query_id", "qid", "queryid", "topic_id", "topic", "question_id", "q_id")),
    Role(
        "query",
        "the query's text",
        ("query", "query_text", "question", "anchor", "search", "text_a", "sentence1"),
        joins=True,
    ),
    Role("instruction", "what the query's documents are judged by", ("instruction", "task_instruction")),
)
DOCUMENT_ROLES = (
    Role("doc_id", "the document's id", ("doc_id", "docid", "document_id", "corpus_id", "pid", "passage_id", "did")),
    Role(
        "document",
        "the document's text",
        (
            *("document", "doc", "passage", "document_text", "doc_text", "passage_text", "text", "answer", "content"),
            *("text_b", "sentence2", "body"),
        ),
        joins=True,
    ),
    _TITLE,
    Role("url", "where it can be read", ("url", "link")),
    Role("author", "who wrote it", ("author",)),
    Role("licence", "its licence", ("licence", "license")),
)
_PARTS = {
    "corpus": (
        Role("id", "the document's id", ("_id", "id", *DOCUMENT_ROLES[0].names), required=True),
        Role(
            "text",
            "the document's text",
            ("text", "content", "contents", "body", *DOCUMENT_ROLES[1].names),
            required=True,
        ),
        _TITLE,
    ),
    "queries": (
        Role("id", "the query's id", ("_id", "id", *QUERY_ROLES[0].names), required=True),
        Role("text", "the query's text", ("text", *QUERY_ROLES[1].names, "title", "content"), required=True),
        QUERY_ROLES[2],
    ),
}
_PART_EXAMPLE = {"_id": "D-1", "text": "Steam softens the crumb."}


Text = TypeVar("Text", Query, Document)


@dataclass(slots=True)
class Texts:
    """The queries and documents of labels; each id has one text."""

    source: str
    corpus: Mapping[str, Document] | None = None
    """All documents, if a file of them is given."""
    listed: Mapping[str, Query] | None = None
    """All queries, if a file of them is given."""
    documents: dict[str, Document] = field(default_factory=dict)
    queries: dict[str, Query] = field(default_factory=dict)
    columns: dict[str, Columns] = field(default_factory=dict)
    """The columns of the files, by name."""

    def empty(self, cells: Cells) -> str:
        """`queries` or `documents` if that text of a row is empty and no id replaces it; else an empty string."""
        for role, name, listed in (("query", "query_id", self.listed), ("document", "doc_id", self.corpus)):
            in_file = listed is not None and cells.identifier(name) is not None
            if role in cells.columns.of and not in_file and not cells.text(role):
                return "queries" if role == "query" else "documents"
        return ""

    def query(self, cells: Cells) -> Query:
        """The query of a row.

        Raises:
            InputError: The query has no text, or an earlier row has another text for its id.
        """
        own_id, text = cells.identifier("query_id"), cells.text("query")
        if self.listed is not None and (own_id or text) in self.listed:
            return self._kept(cells, self.queries, self.listed[own_id or text], "query")
        if not text:
            raise cells.fault(_without("query", own_id, self.listed is not None))
        instruction = cells.text("instruction") or None
        name = own_id or named(text if instruction is None else f"{instruction}\n{text}")
        return self._kept(cells, self.queries, Query(name, text, instruction), "query")

    def document(self, cells: Cells) -> Document:
        """The document of a row.

        Raises:
            InputError: The document has no text, or an earlier row has another text for its id.
        """
        own_id, text = cells.identifier("doc_id"), cells.text("document")
        if self.corpus is not None and (own_id or text) in self.corpus:
            return self._kept(cells, self.documents, self.corpus[own_id or text], "document")
        if not text:
            raise cells.fault(_without("document", own_id, self.corpus is not None))
        return self.of_text(cells, text, own_id, cells.text("title"))

    def of_text(self, cells: Cells, text: str, name: str | None = None, title: str = "") -> Document:
        """The document of a text; a text that is an id of the corpus means that document."""
        if self.corpus is not None and name is None and text in self.corpus:
            return self._kept(cells, self.documents, self.corpus[text], "document")
        if self.corpus is not None and name is None and text.isascii() and len(text.split()) == 1:
            # A single word is an id that the file lacks, not a text.
            raise cells.fault(_without("document", text, in_file=True))
        full = Document("", text, title).full_text
        return self._kept(cells, self.documents, Document(name or named(full), text, title), "document")

    def by_id(self, where: str, query_id: str, doc_id: str) -> tuple[Query, Document]:
        """The query and the document of two ids, from the files.

        Raises:
            InputError: A file lacks one of them.
        """
        for name, known, what in ((query_id, self.listed, "queries"), (doc_id, self.corpus, "corpus")):
            if known is None or name not in known:
                raise InputError(
                    f"{where} names the id {name!r}, which {what}= lacks; complete that file, or name another with "
                    f"{what}=FILE"
                )
        assert self.listed is not None and self.corpus is not None
        query, document = self.listed[query_id], self.corpus[doc_id]
        self.queries.setdefault(query_id, query)
        self.documents.setdefault(doc_id, document)
        return query, document

    def pool(self) -> Mapping[str, Document]:
        """All documents of the corpus, or those of the rows if there is no corpus."""
        return self.documents if self.corpus is None else self.corpus

    def origin(self, cells: Cells | None, document: Document) -> Source:
        """The source of a document, with the address, author and licence of its row."""
        url, author, licence = (cells.text(name) if cells else "" for name in ("url", "author", "licence"))
        return Source(self.source, document.doc_id, url, author, licence)

    def _kept(self, cells: Cells, known: dict[str, Text], item: Text, what: str) -> Text:
        name = item.query_id if isinstance(item, Query) else item.doc_id
        if known.setdefault(name, item) != item:
            more = " or instruction" if what == "query" else ""
            raise cells.fault(f"an earlier row has the {what} {name!r} with another text{more}, and an id has one text")
        return item


def _without(what: str, own_id: str | None, in_file: bool) -> str:
    part = "queries" if what == "query" else "corpus"
    fault = f"{part}= lacks the {what} {own_id!r}" if own_id and in_file else f"the row has no text of the {what}"
    return f"{fault}; its text has to be in a column (--map {what}=COLUMN), or its id in {part}=FILE"


def read_texts(settings: ImportSettings) -> Texts:
    """Read the files of queries and documents, if they are given.

    Raises:
        InputError: A file cannot be read.
    """
    texts = Texts(settings.source)
    if path := settings.parts.get("corpus"):
        texts.corpus = {row[0]: Document(*row) for row in _part(texts, path, "corpus")}
    if path := settings.parts.get("queries"):
        texts.listed = {row[0]: Query(row[0], row[1], row[2] or None) for row in _part(texts, path, "queries")}
    return texts


def _part(texts: Texts, path: Path, name: str) -> Iterator[tuple[str, str, str]]:
    """The id, text, and title or instruction of each row."""
    if not path.is_file():
        fault = "is a folder" if path.is_dir() else f"does not exist{nearby(path)}"
        raise InputError(f"{name}={path} {fault}; name a table of ids and texts")
    table = find_table(path)
    if table is None or (".tsv" in path.suffixes and not _has_names(table, name)):
        yield from _tabbed(path, name)
        return
    columns = assign(f"{name}={path}", names_in(first_rows([table])), _PARTS[name], {})
    texts.columns[path.name] = columns
    seen: dict[str, str] = {}
    for cells in Rows([table], columns, _PART_EXAMPLE):
        identifier, text = cells.identifier("id"), cells.text("text")
        if identifier is None:
            raise cells.fault("the id is missing; fill it in")
        if seen.setdefault(identifier, text) != text:
            raise cells.fault(f"an earlier row has the id {identifier!r} with another text, and an id has one text")
        yield identifier, text, cells.text("title" if name == "corpus" else "instruction")


def _has_names(table: Table, name: str) -> bool:
    """Whether the first line names columns."""
    first = next((line for _, line in numbered_lines(table.path)), "").lower().split("\t")
    return any(cell.strip() in role.names for cell in first for role in _PARTS[name])


def _tabbed(path: Path, name: str) -> Iterator[tuple[str, str, str]]:
    """The rows of a file with lines of id, tab, text, and no header."""
    for number, line in numbered_lines(path):
        if line.strip():
            identifier, tab, text = line.partition("\t")
            if not (identifier.strip() and tab):
                raise InputError(
                    f"{path}:{number}: {plain_data.shown(line)} is not an id, a tab and a text, as each line of "
                    f"{name}= has to be; mend the line, or give a table whose first line names its columns"
                )
            yield identifier.strip(), text.strip(), ""
