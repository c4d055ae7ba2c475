"""Hard negatives: documents that BM25 or a run ranks high for a query and that are not judged relevant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interank.errors import InputError
from interank.ir.bm25 import Bm25, first_stage_of
from interank.judgments import JudgedList
from interank.types import Document, Language, Relevance, Run
from interank.wording import counted


def with_negatives(
    lists: Sequence[JudgedList],
    documents: Mapping[str, Document],
    *,
    run: Run | None,
    depth: int,
    language: Language | None = None,
) -> list[JudgedList]:
    """The lists with other negatives: the first `depth` of a ranking that are not among the query's relevant documents.

    Documents that were judged irrelevant and are not ranked there are dropped. A query without a ranking keeps its
    relevant documents alone.

    Args:
        lists: Queries with their judged documents.
        documents: The documents that are ranked, by id.
        run: The ranking; None takes BM25's.
        language: The language of BM25's stems; None compares words.
        depth: The number of a ranking's first documents that may be negatives.

    Raises:
        InputError: The run names a document that is not in `documents`.
    """
    relevant = {item.query.query_id: _relevant(item) for item in lists}
    ranking = run
    if ranking is None:
        barred = {query_id: frozenset(doc_ids) for query_id, doc_ids in relevant.items()}
        index = Bm25(list(documents.values()), first_stage_of(language))
        ranking = index.rank([item.query for item in lists], top_k=depth, excluded=barred)
    return [_with_ranked(item, relevant[item.query.query_id], ranking, documents, depth) for item in lists]


def _with_ranked(
    item: JudgedList,
    relevant: Mapping[str, tuple[Document, int, float]],
    ranking: Run,
    documents: Mapping[str, Document],
    depth: int,
) -> JudgedList:
    query_id = item.query.query_id
    ranked = ranking.doc_ids(query_id) if query_id in ranking else []
    names = [doc_id for doc_id in ranked if doc_id not in relevant][:depth]
    for doc_id in names:
        if doc_id not in documents:
            raise InputError(
                f"run: query {query_id!r} ranks the document {doc_id!r}, which is not among the "
                f"{counted(len(documents), 'document')} at hand; set corpus to the file of the ranked documents"
            )
    return JudgedList(
        item.query,
        (*(document for document, _, _ in relevant.values()), *(documents[doc_id] for doc_id in names)),
        (*(grade for _, grade, _ in relevant.values()), *(int(Relevance.IRRELEVANT) for _ in names)),
        item.split,
        (*(weight for _, _, weight in relevant.values()), *(1.0 for _ in names)) if item.weights else (),
    )


def _relevant(item: JudgedList) -> dict[str, tuple[Document, int, float]]:
    """The query's relevant documents by id, each with its grade and its weight."""
    judged = zip(item.documents, item.grades, item.weights or [1.0] * len(item.grades), strict=True)
    return {each[0].doc_id: each for each in judged if each[1] > Relevance.IRRELEVANT}


def documents_of(lists: Sequence[JudgedList]) -> dict[str, Document]:
    """The lists' documents by id.

    Raises:
        InputError: Two of them share an id.
    """
    documents: dict[str, Document] = {}
    for item in lists:
        for document in item.documents:
            if documents.setdefault(document.doc_id, document) != document:
                raise InputError(f"the document {document.doc_id!r} has two texts; set corpus to a file that has one")
    return documents
