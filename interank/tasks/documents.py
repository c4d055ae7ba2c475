"""Turns queries and documents of any form that callers give into `Query` and `Document`; sorts documents by scores."""

from __future__ import annotations

import logging
import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from numbers import Integral
from typing import Any

from interank import plain_data
from interank.errors import InputError, ModelError, PromptError
from interank.types import Document, Query, RankedDocument, Run, ScoredDoc

log = logging.getLogger(__name__)

# BEIR's column, then BRIGHT's, then those of RankLLM's and LangChain's documents.
_ID = ("_id", "id", "doc_id", "docid")
_TEXT = ("text", "segment", "content", "contents", "page_content", "body", "passage")

AnyDocument = str | Document | Mapping[str, Any]
_EXPECTED = "a text, a Document, or a mapping with the text under one of " + ", ".join(_TEXT)


def as_query(query: str | Query) -> Query:
    """The query; a text without an id gets the id `query`.

    Raises:
        InputError: The query is empty, or of another type.
    """
    result = Query("query", query) if isinstance(query, str) else query
    if not isinstance(result, Query):
        raise InputError(
            f"found {reprlib.repr(query)} where one query is expected, a text or a Query; many queries are ranked by "
            "rerank(queries, candidates, corpus) into a run, or by stream(queries, candidates, corpus) one by one"
        )
    if not isinstance(result.text, str):
        raise InputError(
            f"the query {result.query_id!r} has the text {reprlib.repr(result.text)}, where a text is needed"
        )
    if not isinstance(result.instruction, str | None):
        raise InputError(
            f"the query {result.query_id!r} has the instruction {reprlib.repr(result.instruction)}, where a text is "
            "needed"
        )
    if not result.text.strip():
        raise InputError(f"the query {result.query_id!r} is empty; say what is asked")
    return result


def as_documents(documents: Sequence[AnyDocument]) -> list[Document]:
    """The documents; one without an id gets its place, counted from 0.

    Raises:
        InputError: One has no text, or two have the same id.
    """
    if isinstance(documents, str | Document) or (isinstance(documents, Mapping) and documents.keys() & {*_TEXT}):
        raise InputError("found one document where a list of them is expected; put it into a list")
    if isinstance(documents, Mapping):
        raise InputError(
            f"found a mapping with the keys {reprlib.repr(list(documents))} where a list of documents is expected; "
            "give the part that holds them, as documents['train'] of a dataset with splits"
        )
    converted = [_as_document(document, place) for place, document in enumerate(_rows(documents))]
    seen: set[str] = set()
    for document in converted:
        if document.doc_id in seen:
            raise InputError(
                f"the document id {document.doc_id!r} occurs twice; keep one of the two documents, or rename one"
            )
        seen.add(document.doc_id)
    return converted


def _rows(documents: Any) -> Iterable[Any]:
    """The rows of a table as mappings; any other container of documents as it is."""
    if hasattr(documents, "columns") and hasattr(documents, "itertuples"):
        # Iterating over pandas' tables yields the names of columns.
        records: Iterable[Any] = documents.to_dict("records")
        return records
    to_rows = getattr(documents, "to_pylist", None) or getattr(documents, "to_dicts", None)
    rows: Iterable[Any] = to_rows() if to_rows else documents
    return rows


def _as_document(document: AnyDocument, place: int) -> Document:
    if isinstance(document, Document):
        if not all(isinstance(part, str) for part in (document.doc_id, document.title, document.text)):
            raise InputError(f"document {place} is {reprlib.repr(document)}, whose id, title and text have to be texts")
        return document
    if isinstance(document, str):
        return Document(str(place), document)
    if not isinstance(document, Mapping):
        raise InputError(f"document {place} is {reprlib.repr(document)}, where {_EXPECTED} is expected")
    text = next((document[name] for name in _TEXT if name in document), None)
    title = _value(document, "title") or ""
    if not isinstance(text, str):
        raise InputError(f"document {place} is {reprlib.repr(dict(document))}, where {_EXPECTED} is expected")
    if not isinstance(title, str):
        raise InputError(f"document {place} has the title {reprlib.repr(title)}; give a text, or leave it out")
    name = next((value for name in _ID if (value := _value(document, name)) is not None), place)
    return Document(as_id(name), text, title)


def _value(document: Mapping[str, Any], name: str) -> Any:
    """The value of a key; None also for NaN, which pandas writes where a value is missing."""
    value = document.get(name)
    return None if isinstance(value, float) and math.isnan(value) else value


def as_id(name: object) -> str:
    """An id, which may be written as a number.

    Raises:
        InputError: It is something else.
    """
    if isinstance(name, bool) or not isinstance(name, str | Integral):
        raise InputError(f"an id is {plain_data.shown(name)}, where a text or an integer is needed")
    try:
        return plain_data.text(str(name))
    except ValueError as error:
        raise InputError(f"an id: {error}") from None


def warn_unlearned(query: Query, *, follows: bool) -> None:
    """Warn once where a query brings an instruction and the model has learned from none."""
    if query.instruction and not follows:
        _warn(
            "a query brings an instruction, and this model has learned from none, so that its ranking may not follow "
            "it; distill with prompt.instruction, or judgments whose questions bring instructions"
        )


def warn_unread(query: Query, kind: str) -> None:
    """Warn once where a query brings an instruction and the reranker has no place for one."""
    if query.instruction:
        _warn(f"a query brings an instruction, and {kind} reads none; say what matters in the query's text")


@cache
def _warn(message: str) -> None:
    log.warning(message)


def checked_count(name: str, count: int | None) -> int | None:
    """A number of documents, checked; None stands for all.

    Raises:
        InputError: It is no whole number from 0.
    """
    if count is not None and (isinstance(count, bool) or not isinstance(count, Integral) or count < 0):
        raise InputError(
            f"{name} is {plain_data.shown(count)}, where a whole number from 0, or None for all, is needed"
        )
    return None if count is None else int(count)


@contextmanager
def naming(query: Query, documents: Sequence[Document]) -> Iterator[None]:
    """Name the query and the document where a model gives no usable answer about one.

    Raises:
        ModelError: In place of a `PromptError` from inside.
    """
    try:
        yield
    except PromptError as error:
        document = f", document {documents[error.place].doc_id!r}" if error.place < len(documents) else ""
        raise ModelError(f"query {query.query_id!r}{document}: {error}") from None


def by_scores(
    query_id: str, documents: Sequence[RankedDocument], scores: Sequence[float] | None = None
) -> list[RankedDocument]:
    """Documents in first-stage order, sorted by `scores` or by their own; ties keep first-stage order."""
    by_id = {document.doc_id: document for document in documents}
    values = [document.score for document in documents] if scores is None else scores
    scored = [ScoredDoc(query_id, doc_id, score) for doc_id, score in zip(by_id, values, strict=True)]
    ranked = Run.from_scores(scored, tag="interank").get(query_id, ())
    return [replace(by_id[item.doc_id], score=item.score) for item in ranked]
