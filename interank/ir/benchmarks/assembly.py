"""Assembly of a task from its parts, with the checks that queries, qrels, corpus and exclusions fit together."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from interank.errors import InputError
from interank.ir.benchmarks.benchmark import Benchmark
from interank.ir.benchmarks.topics import Topic
from interank.ir.trec import line_of, read_qrels
from interank.types import Document, Qrel, Query, Run
from interank.wording import counted

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Parts:
    """The parts that a layout's reader found; `qrels_file` is None if the queries' rows name the relevant documents."""

    name: str
    folder: Path
    topics: dict[str, Topic]
    qrels_file: Path | None
    corpus: dict[str, Document] | None
    sources: dict[str, tuple[Path, ...]]
    counts: Counter[str]
    exclusions_file: Path | None = None
    run: Run | None = None
    first_stage_queries: dict[str, str] | None = None
    is_partial: bool = field(default=False)
    """Whether judged documents may be absent from the corpus."""


def assemble(parts: Parts) -> Benchmark:
    """Build a task from its parts.

    Raises:
        InputError: The parts do not fit together.
    """
    qrels = _judgments(parts)
    queries = _judged_queries(parts.topics, {qrel.query_id for qrel in qrels})
    excluded = _exclusions(parts, queries, qrels)
    _check_not_excluded(parts, qrels, excluded)
    counts = parts.counts
    counts["unjudged_queries"] = len(parts.topics) - len(queries)
    if parts.corpus is not None:
        missing = [qrel for qrel in qrels if qrel.doc_id not in parts.corpus]
        if missing and not parts.is_partial:
            raise InputError(_missing(_place(parts, missing[0]), (qrel.doc_id for qrel in missing)))
        counts["judged_not_in_corpus"] = len(missing)
        counts["excluded_in_corpus"] = sum(len(doc_ids & parts.corpus.keys()) for doc_ids in excluded.values())
    rewritten = parts.first_stage_queries
    return Benchmark(
        name=parts.name,
        queries=queries,
        corpus=parts.corpus,
        qrels=qrels,
        excluded=excluded,
        run=_candidates(parts, queries),
        unjudged_query_count=counts["unjudged_queries"],
        first_stage_queries=None if rewritten is None else {query_id: rewritten[query_id] for query_id in queries},
        counts=dict(sorted(counts.items())),
        sources=parts.sources,
    )


def missing_from_corpus(path: Path, run: Run, corpus: Collection[str]) -> None:
    """Refuse a run with documents that the corpus lacks; the error names the first one's line."""
    damaged = [query_id for query_id in run if not all(map(corpus.__contains__, run.scores(query_id)))]
    missing = [(query_id, doc_id) for query_id in damaged for doc_id in run.scores(query_id) if doc_id not in corpus]
    if missing:
        raise InputError(_missing(line_of(path, *missing[0]), (doc_id for _, doc_id in missing)))


def _missing(where: str, doc_ids: Iterable[str]) -> str:
    missing = list(dict.fromkeys(doc_ids))
    return (
        f"{where}: the corpus lacks {counted(len(missing), 'document id')}, the first {missing[0]!r}; "
        "complete the corpus, or remove these lines"
    )


def _judgments(parts: Parts) -> list[Qrel]:
    topics, path = parts.topics, parts.qrels_file
    if path is None:
        golds = {query_id: tuple(dict.fromkeys(topic.gold_ids)) for query_id, topic in topics.items()}
        parts.counts["repeated_gold_ids"] = sum(len(topics[i].gold_ids) - len(once) for i, once in golds.items())
        qrels = [Qrel(query_id, doc_id, 1) for query_id, doc_ids in golds.items() for doc_id in doc_ids]
        if not qrels:
            raise InputError(f"{parts.folder} holds no human judgments, neither qrels nor gold_ids; add a qrels.tsv")
        return qrels
    qrels = read_qrels(path)
    known = [qrel for qrel in qrels if qrel.query_id in topics]
    unknown = list(dict.fromkeys(qrel.query_id for qrel in qrels if qrel.query_id not in topics))
    if not known:
        raise InputError(
            f"{line_of(path, unknown[0])}: no query id of the qrels (the first is {unknown[0]!r}) is among the "
            "queries; check that both files are of the same split"
        )
    parts.counts["qrels_of_unknown_queries"] = len(qrels) - len(known)
    if unknown:
        logger.warning(
            "%s: %d query ids, the first %r, are not among the queries and are left out",
            line_of(path, unknown[0]),
            len(unknown),
            unknown[0],
        )
    return known


def _judged_queries(topics: Mapping[str, Topic], judged: Collection[str]) -> dict[str, Query]:
    queries = {}
    for query_id, topic in topics.items():
        if query_id in judged:
            # Only a judged query needs a text: CACM lists query ids that have neither text nor qrels.
            if not topic.query.text.strip():
                raise InputError(
                    f"{topic.where}: the query {query_id!r} has qrels but no text; fill it in, or remove the "
                    "query and its qrels"
                )
            queries[query_id] = topic.query
    return queries


def _exclusions(parts: Parts, queries: Mapping[str, Query], qrels: Iterable[Qrel]) -> dict[str, frozenset[str]]:
    excluded = {query_id: frozenset(parts.topics[query_id].excluded) for query_id in queries}
    # In ArguAna and Quora queries are documents too, and no query answers itself.
    answers = {(qrel.query_id, qrel.doc_id) for qrel in qrels if qrel.relevance > 0}
    for query in queries.values():
        itself = parts.corpus.get(query.query_id) if parts.corpus else None
        if itself and query.text in (itself.text, itself.full_text) and (query.query_id,) * 2 not in answers:
            excluded[query.query_id] |= {query.query_id}
    for line in read_qrels(parts.exclusions_file) if parts.exclusions_file else ():
        if line.query_id in excluded:
            excluded[line.query_id] |= {line.doc_id}
    return {query_id: doc_ids for query_id, doc_ids in excluded.items() if doc_ids}


def _check_not_excluded(parts: Parts, qrels: Iterable[Qrel], excluded: Mapping[str, frozenset[str]]) -> None:
    for qrel in qrels:
        if qrel.relevance > 0 and qrel.doc_id in excluded.get(qrel.query_id, ()):
            topic, path = parts.topics[qrel.query_id], parts.exclusions_file
            of_file = path is not None and qrel.doc_id not in topic.excluded
            where = line_of(path, qrel.query_id, qrel.doc_id) if path and of_file else topic.where
            raise InputError(
                f"{where}: the query {qrel.query_id!r} excludes the document {qrel.doc_id!r}, which is "
                f"relevant to it ({_place(parts, qrel)}); remove one of the two"
            )


def _place(parts: Parts, qrel: Qrel) -> str:
    """The place of a judgment, for messages."""
    if parts.qrels_file is None:
        return parts.topics[qrel.query_id].where
    return line_of(parts.qrels_file, qrel.query_id, qrel.doc_id)


def _candidates(parts: Parts, queries: Collection[str]) -> Run | None:
    if parts.run is None:
        return None
    [path] = parts.sources["run"]
    run = parts.run.only(queries)
    if not run:
        logger.warning("%s: the run ranks none of the evaluated queries, and is left out", path)
        return None
    if parts.corpus is not None:
        missing_from_corpus(path, run, parts.corpus)
    return run
