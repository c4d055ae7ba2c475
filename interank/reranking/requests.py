"""Queries that each bring their own candidates, one JSON object a line, read as they are ranked."""

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
# RankLLM's name after ours.
_DOCUMENTS = ("documents", "candidates")
_QUERY_ID = ("query_id", "qid", "_id", "id")


class Request(NamedTuple):
    """A query with its candidates, in first-stage order."""

    query: Query
    documents: list[Document]
    scores: list[float] | None
    """The first stage's, where every document brings its own."""
    domain: str | None = None
    """Which of several adapters is to rank it."""


def read_requests(path: Path, domains: Collection[str] = ()) -> Iterator[Request]:
    """Each line's query with its candidates; RankLLM's requests and results are read too.

    Raises:
        InputError: A line is of another form, it asks for a domain that is not there, or a query's id stands there
            twice.
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
            raise InputError(f"{where}: the query id {name!r} stood before; rename one of the two")
        seen.add(name)
        yield request
    if not seen:
        raise InputError(f"{path} has no query; give lines like {FORM}")


def result_row(query: Query, ranking: Sequence[Mapping[str, Any]], documents: Sequence[Document]) -> dict[str, Any]:
    """A ranking's rows in the layout of RankLLM's results, which is that of its requests: texts beside scores."""
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
        raise InputError(f"{where} is not JSON ({error}); mend or remove it, or write it like {FORM}") from None
    if not isinstance(row, dict):
        raise InputError(
            f"{where} is {plain_data.shown(row)}, where an object like {FORM} is needed; mend or remove it"
        )
    asked = row.get("query")
    named = {**row, **asked} if isinstance(asked, dict) else row
    text = asked.get("text") if isinstance(asked, dict) else asked
    documents = next((row[name] for name in _DOCUMENTS if name in row), None)
    if not isinstance(text, str) or not text.strip() or not isinstance(documents, list):
        raise InputError(
            f"{where} is {plain_data.shown(row)}, where a query and its documents are needed, like {FORM}; mend "
            "or remove it"
        )
    name = next((named[name] for name in _QUERY_ID if named.get(name) is not None), number)
    try:
        query = Query(as_id(name), text, _instruction(named))
        found = as_documents([_flat(document) for document in documents])
        scores = _scores(documents)
    except (InputError, ValueError) as error:
        raise InputError(f"{where}: {error}; mend it") from None
    domain = row.get("domain")
    if domain is not None and not isinstance(domain, str):
        raise InputError(
            f"{where}: the domain is {plain_data.shown(domain)}, where a name is needed; mend or remove it"
        )
    return Request(query, found, scores, domain)


def _instruction(named: Mapping[str, Any]) -> str | None:
    """What the query is to be judged by, where the row says.

    Raises:
        ValueError: It is no text.
    """
    given = named.get("instruction")
    try:
        return None if given is None else plain_data.text(given)
    except ValueError as error:
        raise ValueError(f"instruction: {error}") from None


def _scores(documents: list[Any]) -> list[float] | None:
    """The documents' own scores, if all have one.

    Raises:
        ValueError: One is no finite number.
    """
    given = [document.get("score") if isinstance(document, Mapping) else None for document in documents]
    known = [plain_data.finite(score) for score in given if score is not None]
    return known if len(known) == len(documents) else None


def _flat(document: Any) -> Any:
    """RankLLM's candidate, whose text stands a level below its id."""
    if isinstance(document, Mapping) and "doc" in document:
        inner = document["doc"]
        return {**(inner if isinstance(inner, Mapping) else {"text": inner}), "docid": document.get("docid")}
    return document
