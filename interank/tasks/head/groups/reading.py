"""Queries with positives and negatives from files: Tevatron's layout of MS MARCO, and triples as JSONL or TSV."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from interank import plain_data
from interank.errors import InputError
from interank.ir.benchmarks.rows import check_writable, columns, filled, json_rows, string
from interank.ir.trec import numbered_lines
from interank.judgments import JudgedList
from interank.types import Document, Query, Relevance
from interank.wording import counted

_SUFFIXES = (".jsonl", ".jsonl.gz", ".tsv", ".tsv.gz")
_QUERY = ("query", "anchor")
_ROWS = (
    "rows of query, positive_passages and negative_passages (Tevatron's layout) or of query, positive and negative are "
    "expected"
)


def read_groups(path: Path) -> Iterator[JudgedList]:
    """Each query of a file, or of a folder's files, with all its documents; positives have grade 2, negatives 0.

    A row with `positive_passages` and `negative_passages`, lists of objects with `docid`, `title` and `text`, is
    Tevatron's. Triples are rows of `query` (or `anchor`), `positive` and `negative`, each a text, the last a list of
    texts too, or lines of three texts separated by tabs; consecutive triples of one query are joined, and their ids
    are hashes of the texts.

    Raises:
        InputError: There is no such file, or a row has another form.
    """
    for file in _files(path):
        if file.name.removesuffix(".gz").endswith(".tsv"):
            yield from _together(_tab_triples(file))
        else:
            yield from _together(_of_rows(file))


def first_group(path: Path) -> JudgedList:
    """The first query of a file or a folder, as a check that it can be read.

    Raises:
        InputError: There is none, or a row has a form that `read_groups` does not read.
    """
    first = next(read_groups(path), None)
    if first is None:
        raise InputError(f"{path} holds no training query; {_ROWS}; give a filled file")
    return first


def named(text: str) -> str:
    """An id for a text that has none, the same wherever the text occurs."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(file for file in path.glob("*") if file.name.endswith(_SUFFIXES)) if path.is_dir() else []
    if not files:
        raise InputError(f"{path} holds no {', '.join(_SUFFIXES)}; give a file or folder of training queries")
    return files


def _of_rows(file: Path) -> Iterator[JudgedList]:
    for where, row in json_rows(file):
        if "positive_passages" in columns(where, row):
            query = Query(string(where, row, ("query_id",)), filled(where, row, ("query",)))
            passages = [_passages(where, row, name) for name in ("positive_passages", "negative_passages")]
            yield _judged(where, query, *passages)
        elif "positive" in columns(where, row):
            text = filled(where, row, _QUERY)
            negatives = columns(where, row).get("negative")
            texts = negatives if isinstance(negatives, list) else [negatives]
            if not all(isinstance(each, str) for each in texts):
                raise InputError(
                    f"{where}: a negative is {plain_data.shown(negatives)}, where texts are needed; mend it"
                )
            for each in texts:
                check_writable(where, str(each), "negative")
            positive = filled(where, row, ("positive",))
            yield _judged(
                where, Query(named(text), text), [_of_text(positive)], [_of_text(str(each)) for each in texts]
            )
        else:
            names = ", ".join(columns(where, row)) or "none"
            raise InputError(f"{where} has the columns {names}; {_ROWS}; mend the file, or give another")


def _tab_triples(file: Path) -> Iterator[JudgedList]:
    for number, line in numbered_lines(file):
        parts = line.split("\t")
        where = f"{file}:{number}"
        if len(parts) != 3 or not all(part.strip() for part in parts):
            raise InputError(
                f"{where}: the line has {counted(len(parts), 'column')} separated by tabs, and needs 3: query, "
                "positive and negative; mend it"
            )
        text, positive, negative = parts
        yield _judged(where, Query(named(text), text), [_of_text(positive)], [_of_text(negative)])


def _passages(where: str, row: object, name: str) -> list[Document]:
    passages = columns(where, row).get(name)
    if not isinstance(passages, list):
        raise InputError(
            f"{where}: {name} is {plain_data.shown(passages)}, where a list of passages is needed; mend it"
        )
    return [
        Document(
            string(where, each, ("docid", "doc_id")),
            string(where, each, ("text",)),
            _title(where, each),
        )
        for each in passages
    ]


def _title(where: str, passage: object) -> str:
    if columns(where, passage).get("title") is None:
        return ""
    # MS MARCO's passages have none, and some copies write a hyphen there.
    title = string(where, passage, ("title",))
    return "" if title.strip() == "-" else title


def _of_text(text: str) -> Document:
    return Document(named(text), text)


def _judged(where: str, query: Query, positives: list[Document], negatives: list[Document]) -> JudgedList:
    """The query's documents, each once; one that is listed as both is a positive."""
    grades: dict[str, int] = {}
    documents: dict[str, Document] = {}
    for document, grade in [
        *((each, int(Relevance.RELEVANT)) for each in positives),
        *((each, int(Relevance.IRRELEVANT)) for each in negatives),
    ]:
        if documents.setdefault(document.doc_id, document) != document:
            raise InputError(
                f"{where}: the document {document.doc_id!r} occurs twice with different texts; rename one of the two"
            )
        grades.setdefault(document.doc_id, grade)
    return JudgedList(query, tuple(documents.values()), tuple(grades.values()))


def _together(lists: Iterator[JudgedList]) -> Iterator[JudgedList]:
    """The lists, consecutive ones of one query joined."""
    current: JudgedList | None = None
    for item in lists:
        if current is not None and item.query == current.query:
            known = dict(zip((d.doc_id for d in current.documents), current.grades, strict=True))
            new = [(d, g) for d, g in zip(item.documents, item.grades, strict=True) if d.doc_id not in known]
            higher = {d.doc_id: g for d, g in zip(item.documents, item.grades, strict=True)}
            grades = [max(grade, higher.get(doc_id, 0)) for doc_id, grade in known.items()]
            documents = (*current.documents, *(d for d, _ in new))
            current = JudgedList(item.query, documents, (*grades, *(g for _, g in new)), item.split)
        else:
            if current is not None:
                yield current
            current = item
    if current is not None:
        yield current
