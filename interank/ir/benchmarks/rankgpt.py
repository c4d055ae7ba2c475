"""RankGPT's candidate files: queries, passages and scores in one JSON."""

from __future__ import annotations

from pathlib import Path

from interank import plain_data
from interank.errors import InputError
from interank.ir.benchmarks.rows import filled, parse_json, string, value
from interank.ir.trec import whole_text
from interank.types import Document, Query, Run, ScoredDoc


def read_rankgpt(path: Path) -> tuple[list[Query], dict[str, Document], Run]:
    """Read RankGPT's JSON, `[{query, hits: [{content, qid, docid, rank, score}]}]`, plain or gzip.

    Candidates are ranked by score, ties in the order given; `rank` is ignored.

    Raises:
        InputError: The file has another form, a query is repeated, or a document has two contents.
    """
    items = parse_json(str(path), whole_text(path))
    if not (isinstance(items, list) and items):
        raise InputError(
            f"{path} holds {plain_data.shown(items)}, and RankGPT's form is a list of queries with hits; name such a "
            "file"
        )
    queries: dict[str, Query] = {}
    documents: dict[str, Document] = {}
    scored: list[ScoredDoc] = []
    for number, item in enumerate(items, start=1):
        where = f"{path}: query {number}"
        text, hits = filled(where, item, ("query",)), value(where, item, ("hits",))
        if not (isinstance(hits, list) and hits):
            raise InputError(
                f"{where}: hits is {plain_data.shown(hits)}, where a list of one or more is needed; mend or "
                "remove the query"
            )
        query_id = filled(f"{where}, hit 1", hits[0], ("qid",))
        if query_id in queries:
            raise InputError(f"{where}: an earlier query has the qid {query_id!r} too; merge the two")
        queries[query_id] = Query(query_id, text)
        for place, hit in enumerate(hits, start=1):
            document, candidate = _hit(f"{where}, hit {place}", hit, query_id)
            if documents.setdefault(document.doc_id, document) != document:
                raise InputError(
                    f"{where}, hit {place}: an earlier hit has the docid {document.doc_id!r} with another content; "
                    "mend the file"
                )
            scored.append(candidate)
    return list(queries.values()), documents, Run.from_scores(scored, tag="rankgpt")


def _hit(where: str, hit: object, query_id: str) -> tuple[Document, ScoredDoc]:
    qid = filled(where, hit, ("qid",))
    if qid != query_id:
        raise InputError(
            f"{where}: the qid is {qid!r}, and that of the first hit is {query_id!r}; give all hits of a query the "
            "same qid"
        )
    try:
        score = plain_data.finite(value(where, hit, ("score",)))
    except ValueError as error:
        raise InputError(f"{where}: the score: {error}; mend the hit") from None
    doc_id = filled(where, hit, ("docid",))
    return Document(doc_id, string(where, hit, ("content",))), ScoredDoc(query_id, doc_id, score)
