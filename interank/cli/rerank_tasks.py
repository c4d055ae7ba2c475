"""The inputs of `interank rerank`: a query with files, a benchmark folder, or requests, read lazily."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

log = logging.getLogger(__name__)

# Formats with a document in each row.
_OF_ROWS = {".jsonl", ".ndjson", ".parquet"}
# Formats whose rows cannot be read as documents.
_TABLES = (".csv", ".tsv", ".json", ".xlsx", ".xls", ".ods")

if TYPE_CHECKING:
    from interank.cli.rerank_options import RerankOptions
    from interank.reranking.requests import Request
    from interank.types import Document


def tasks_of(options: RerankOptions) -> Iterator[Request]:
    """The queries with their candidates in first-stage order, and first-stage scores where there are any."""
    from interank.reranking.requests import Request, read_requests
    from interank.types import Query

    if options.query is not None:
        documents = [document for file in options.files for document in _documents(file)]
        yield Request(Query("query", options.query, options.instruction), documents, None)
        return
    if options.requests is not None:
        requests: Iterable[Request] = read_requests(options.requests, dict(options.domain))
        if options.shard:
            # A shard's bounds depend on the number of all requests.
            total = sum(1 for _ in read_requests(options.requests, dict(options.domain)))
            share = options.shard.share(total, "requests")
            requests = islice(requests, share.start, share.stop)
        for request in _first(requests, options.depth):
            yield request._replace(query=request.query.judged_by(options.instruction))
        return
    from interank.errors import InputError
    from interank.evaluation.candidates import CandidateSettings, load_evaluated

    only = (options.task,) if options.task else ()
    evaluated = CandidateSettings(options.corpus, only, options.split, run=options.run_file, depth=options.depth)
    tasks = load_evaluated(evaluated, reranking=True)
    if len(tasks) > 1:
        names = ", ".join(task.name for task in tasks)
        raise InputError(f"--corpus {options.corpus} holds the tasks {names}; name one with --task")
    queries = tasks[0].queries
    if options.shard:
        share = options.shard.share(len(queries), "queries")
        queries = queries[share.start : share.stop]
    for query in queries:
        documents = tasks[0].documents(query.query_id)
        query = query.judged_by(options.instruction)
        yield Request(query, documents, list(tasks[0].candidates.scores(query.query_id).values()) if documents else [])


def _first(requests: Iterable[Request], depth: int) -> Iterator[Request]:
    """Each request with its first `depth` candidates; a warning at the end counts the others."""
    total = left = 0
    for request in requests:
        total, left = total + len(request.documents), left + len(request.documents[depth:])
        yield request._replace(documents=request.documents[:depth], scores=request.scores and request.scores[:depth])
    if left:
        log.warning(
            "%d of %d documents were not ranked, as they come after the first %d of their request; --top-k N "
            "ranks more",
            left,
            total,
            depth,
        )


def _documents(file: Path) -> Iterator[Document]:
    from interank.errors import InputError
    from interank.ir.benchmarks import read_documents
    from interank.types import Document

    if file.is_dir():
        raise InputError(f"{file} is a folder; give its text or JSONL files, for example {file}/*.txt")
    if not file.is_file():
        raise InputError(f"{file} does not exist; give text or JSONL files")
    if not _OF_ROWS.isdisjoint(map(str.lower, file.suffixes)):
        yield from read_documents(file).values()
        return
    if file.name.lower().removesuffix(".gz").endswith(_TABLES):
        raise InputError(
            f"{file} is a table, which would be read as one document; write its rows as JSONL, "
            '{"id": ..., "text": ...} in each line'
        )
    try:
        # The end of a file's last line is not part of its text, and would change the score.
        yield Document(str(file), file.read_text("utf-8-sig").rstrip("\r\n"))
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text; convert it, or give JSONL") from None
