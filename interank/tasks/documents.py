"""What a caller may give as query and documents, made into the nouns of `types`; what it is given back."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from interank import plain_data
from interank.errors import InputError, ModelError, PromptError
from interank.types import Document, Query, RankedDocument, Run, ScoredDoc

# BEIR's column, then BRIGHT's, then those of RankLLM's and LangChain's documents.
_ID = ("_id", "id", "doc_id", "docid")
_TEXT = ("text", "content", "contents", "page_content", "body")

AnyDocument = str | Document | Mapping[str, Any]


def as_query(query: str | Query) -> Query:
    """The query; a text without an id gets the id `query`.

    Raises:
        InputError: There is nothing in it.
    """
    made = Query("query", query) if isinstance(query, str) else query
    if not made.text.strip():
        raise InputError(f"the query {made.query_id!r} is empty; say what is asked")
    return made


def as_documents(documents: Sequence[AnyDocument]) -> list[Document]:
    """The documents; one without an id gets its place, counted from 0.

    Raises:
        InputError: One has no text, or two have the same id.
    """
    if isinstance(documents, str | Mapping):
        raise InputError("found one document in place of a list of them; put it into a list")
    made = [_as_document(document, place) for place, document in enumerate(documents)]
    seen: set[str] = set()
    for document in made:
        if document.doc_id in seen:
            raise InputError(
                f"found the document id {document.doc_id!r} twice; expected each once; keep one of the two"
            )
        seen.add(document.doc_id)
    return made


def _as_document(document: AnyDocument, place: int) -> Document:
    if isinstance(document, Document):
        return document
    if isinstance(document, str):
        return Document(str(place), document)
    if not isinstance(document, Mapping):
        raise InputError(f"document {place}: found {reprlib.repr(document)}; expected a text, a Document or a mapping")
    text = next((document[name] for name in _TEXT if name in document), None)
    title = document.get("title") or ""
    if not isinstance(text, str) or not isinstance(title, str):
        raise InputError(
            f"document {place}: found {reprlib.repr(dict(document))}; expected its text under one of "
            f"{', '.join(_TEXT)}, and a title that is text if there is one"
        )
    name = next((document[name] for name in _ID if document.get(name) is not None), place)
    return Document(as_id(name), text, title)


def as_id(name: object) -> str:
    """An id, which may be written as a number.

    Raises:
        InputError: It is something else.
    """
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise InputError(f"found the id {plain_data.shown(name)}; expected text or an integer")
    try:
        return plain_data.text(str(name))
    except ValueError as error:
        raise InputError(f"an id: {error}") from None


@contextmanager
def naming(query: Query, documents: Sequence[Document]) -> Iterator[None]:
    """Has whoever asks a model about documents say of which one it gave nothing that can be used.

    Raises:
        ModelError: It gave such for one.
    """
    try:
        yield
    except PromptError as error:
        document = f", document {documents[error.place].doc_id!r}" if error.place < len(documents) else ""
        raise ModelError(f"query {query.query_id!r}{document}: {error}") from None


def by_scores(
    query_id: str, documents: Sequence[RankedDocument], scores: Sequence[float] | None = None
) -> list[RankedDocument]:
    """Documents, given in first-stage order, by their scores, their own or those given; ties keep that order."""
    by_id = {document.doc_id: document for document in documents}
    values = [document.score for document in documents] if scores is None else scores
    scored = [ScoredDoc(query_id, doc_id, score) for doc_id, score in zip(by_id, values, strict=True)]
    ranked = Run.from_scores(scored, tag="interank").get(query_id, ())
    return [replace(by_id[item.doc_id], score=item.score) for item in ranked]
