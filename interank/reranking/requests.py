"""Streams queries with their candidates from a file with one JSON object per line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from interank import plain_data
from interank.errors import InputError
from interank.ir.trec import numbered_lines
from interank.tasks.documents import as_documents, as_id
from interank.types import Document, Query
from interank.wording import listed

FORM = '{"query_id": "q1", "query": "...", "documents": [{"id": "d1", "title": "...", "text": "..."}]}'
# Our key, then RankLLM's.
_DOCUMENTS = ("documents", "candidates")
_QUERY_ID = ("query_id", "qid", "_id", "id")


class Request(NamedTuple):
    """A query with its candidates, in first-stage order."""

    query: Query
    documents: list[Document]
    scores: list[float] | None
    """First-stage scores; None unless every document has one."""
    domain: str | None = None
    """The domain whose adapter ranks this query."""


def read_requests(path: Path, domains: Collection[str] = ()) -> Iterator[Request]:
    """Yield each line's query with its candidates; also reads RankLLM's requests and results.

    Raises:
        InputError: A line has another form, names an unknown domain, or repeats a query's id.
    """
    seen: set[str] = set()
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        request = _request(where, line, number)
        if request.domain is not None and request.domain not in domains:
            raise InputError(
                f"{where}: the request is of the domain {request.domain!r}, and --domain gives {listed(domains)}; add "
                f"--domain {request.domain}=ADAPTER"
            )
        name = request.query.query_id
        if name in seen:
            raise InputError(f"{where}: the query id {name!r} is in an earlier line too; rename one of the two")
        seen.add(name)
        yield request
    if not seen:
        raise InputError(f"{path} has no query; give lines like {FORM}")


def result_row(query: Query, ranking: Sequence[Mapping[str, Any]], documents: Sequence[Document]) -> dict[str, Any]:
    """A ranking in the layout of RankLLM's results and requests, with texts and scores."""
    by_id = {document.doc_id: document for document in documents}
    candidates = []
    for item in ranking:
        document = by_id[item["doc_id"]]
        doc = {"title": document.title, "text": document.text} if document.title else {"text": document.text}
        candidates.append({"docid": document.doc_id, "score": float(item["score"]), "doc": doc})
    return {"query": {"text": query.text, "qid": query.query_id}, "candidates": candidates}


def _request(where: str, line: str, number: int) -> Request:
    try:
        row = plain_data.parsed(line)
    except ValueError as error:
        raise InputError(f"{where} is not JSON ({error}); correct or remove it, or write it like {FORM}") from None
    if not isinstance(row, dict):
        raise InputError(
            f"{where} is {plain_data.shown(row)}, where an object like {FORM} is needed; correct or remove it"
        )
    content = row.get("query")
    named = {**row, **content} if isinstance(content, dict) else row
    text = content.get("text") if isinstance(content, dict) else content
    documents = next((row[name] for name in _DOCUMENTS if name in row), None)
    if not isinstance(text, str) or not text.strip() or not isinstance(documents, list):
        raise InputError(
            f"{where} is {plain_data.shown(row)}, where a query and its documents are needed, like {FORM}; correct "
            "or remove it"
        )
    name = next((named[name] for name in _QUERY_ID if named.get(name) is not None), number)
    try:
        query = Query(as_id(name), text, _instruction(named))
        candidates = as_documents([_flat(document) for document in documents])
        scores = _scores(documents)
    except (InputError, ValueError) as error:
        raise InputError(f"{where}: {error}; correct it") from None
    domain = row.get("domain")
    if domain is not None and not isinstance(domain, str):
        raise InputError(
            f"{where}: the domain is {plain_data.shown(domain)}, where a name is needed; correct or remove it"
        )
    return Request(query, candidates, scores, domain)


def _instruction(named: Mapping[str, Any]) -> str | None:
    """The query's instruction, if the row has one.

    Raises:
        ValueError: The instruction is no text.
    """
    instruction = named.get("instruction")
    try:
        return None if instruction is None else plain_data.text(instruction)
    except ValueError as error:
        raise ValueError(f"instruction: {error}") from None


def _scores(documents: list[Any]) -> list[float] | None:
    """The documents' first-stage scores; None unless every document has one.

    Raises:
        ValueError: A score is no finite number.
    """
    values = [document.get("score") if isinstance(document, Mapping) else None for document in documents]
    scores = [plain_data.finite(score) for score in values if score is not None]
    return scores if len(scores) == len(documents) else None


def _flat(document: Any) -> Any:
    """A candidate with RankLLM's nested `doc` flattened."""
    if isinstance(document, Mapping) and "doc" in document:
        inner = document["doc"]
        return {**(inner if isinstance(inner, Mapping) else {"text": inner}), "docid": document.get("docid")}
    return document
