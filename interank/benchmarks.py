"""Readers of benchmark folders (BEIR's layout, BRIGHT's columns) and of RankGPT's candidate files."""

from __future__ import annotations

import json
import logging
import math
import re
import reprlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from interank.errors import InputError
from interank.trec import numbered_lines, read_qrels, read_run
from interank.types import Document, Qrel, Query, Run, ScoredDoc

logger = logging.getLogger(__name__)

# BRIGHT writes this in place of an empty list.
NOTHING = "N/A"

EXCLUSIONS_FILE = "excluded_source_docs.tsv"

_ID = ("_id", "id")  # BEIR's column, then BRIGHT's
_TEXT = ("text", "content")
_QUESTION = ("text", "query")

_QUERIES_NAME = re.compile(r"queries(?:\.(?P<split>[^.]+))?\.jsonl(?:\.gz)?")
_QRELS_NAME = re.compile(r"qrels(?:\.(?P<split>[^.]+))?\.tsv(?:\.gz)?")
_QRELS_IN_FOLDER_NAME = re.compile(r"(?P<split>[^.]+)\.tsv(?:\.gz)?")
_CORPUS_NAME = re.compile(r"corpus\.jsonl(?:\.gz)?")
_RUN_NAME = re.compile(r".+\.(?:trec|run)(?:\.gz)?|run\..+")

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Queries with qrels, the corpus they are asked of, and what else the folder held.

    `excluded` holds, by query, documents that must not be ranked for it, whether or not the corpus has them:
    take them off candidates with `Run.without`. `run` holds the folder's candidates for these queries, if it
    has some. `unjudged_query_count` tells how many queries were left out because they have no qrels.
    """

    name: str
    queries: dict[str, Query]
    corpus: dict[str, Document]
    qrels: list[Qrel]
    excluded: dict[str, frozenset[str]]
    run: Run | None
    unjudged_query_count: int


@dataclass(frozen=True, slots=True)
class _Topic:
    """A row of a queries file."""

    where: str
    query: Query
    excluded: frozenset[str]
    gold_ids: tuple[str, ...]


def task_name(name: str) -> str:
    """A task's name as BRIGHT spells it: `sustainable_living`, not `sustainable-living`."""
    return name.replace("-", "_")


def load_benchmark(
    folder: Path, split: str | None = None, *, qrels: Path | None = None, with_run: bool = True
) -> Benchmark:
    """Read a benchmark folder.

    It holds `corpus.jsonl`, `queries.jsonl` or `queries.SPLIT.jsonl`, and `qrels.tsv`, `qrels.SPLIT.tsv` or
    `qrels/SPLIT.tsv`, each plain or `.gz`; perhaps one run (`*.trec`, `*.run`, `run.*`) and
    `excluded_source_docs.tsv`. Rows have BEIR's columns (`_id, title, text`) or BRIGHT's (`id, content` and
    `id, query, excluded_ids, gold_ids`). Without a qrels file each of BRIGHT's `gold_ids` has relevance 1.

    Args:
        folder: Where the files are.
        split: Which split to read; needed when there are several.
        qrels: Human judgments to take in place of the folder's.
        with_run: Whether to look for a run; not needed where candidates come from elsewhere.

    Raises:
        InputError: A file is missing, damaged or ambiguous, or the files do not fit together.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: found no folder; expected one that holds a benchmark; name another")
    queries_file, own_qrels = _choose_split(folder, split)
    qrels_file = qrels or own_qrels
    corpus_file = _by_split(folder, _CORPUS_NAME).get(None)
    if corpus_file is None:
        raise InputError(f"{folder}: found no corpus.jsonl or corpus.jsonl.gz; expected one; add the documents")
    topics = _index(queries_file, _topic, lambda topic: topic.query.query_id)
    if qrels_file is not None:
        judged = _of_known_queries(qrels_file, read_qrels(qrels_file), topics)
    else:
        judged = [Qrel(query_id, doc_id, 1) for query_id, topic in topics.items() for doc_id in topic.gold_ids]
    if not judged:
        raise InputError(f"{folder}: found neither qrels nor gold_ids; expected judgments; add a qrels.tsv")
    queries = _judged_queries(topics, {qrel.query_id for qrel in judged})
    corpus = read_documents(corpus_file)
    _check_in_corpus(qrels_file or queries_file, (qrel.doc_id for qrel in judged), corpus)
    return Benchmark(
        name=task_name(folder.resolve().name),
        queries=queries,
        corpus=corpus,
        qrels=judged,
        excluded=_exclusions(folder, [topics[query_id] for query_id in queries]),
        run=_candidates(folder, split, queries, corpus) if with_run else None,
        unjudged_query_count=len(topics) - len(queries),
    )


def read_documents(path: Path) -> dict[str, Document]:
    """A corpus file's documents by id: JSONL, plain or gzipped, with BEIR's or BRIGHT's columns.

    Raises:
        InputError: A row is no document, or two have the same id.
    """
    return _index(path, _document, lambda document: document.doc_id)


def read_rankgpt(path: Path) -> tuple[list[Query], dict[str, Document], Run]:
    """Read RankGPT's JSON, `[{query, hits: [{content, qid, docid, rank, score}]}]`, plain or gzip.

    Candidates are ranked by score, ties in the order given; `rank` is ignored.

    Raises:
        InputError: The file is not of this form, or tells two things of one query or document.
    """
    items = _parse_json(str(path), "\n".join(line for _, line in numbered_lines(path)))
    if not (isinstance(items, list) and items):
        raise InputError(f"{path}: found {reprlib.repr(items)}; expected RankGPT's list of queries with hits")
    queries: dict[str, Query] = {}
    documents: dict[str, Document] = {}
    scored: list[ScoredDoc] = []
    for number, item in enumerate(items, start=1):
        where = f"{path}: query {number}"
        text, hits = _filled(where, item, ("query",)), _value(where, item, ("hits",))
        if not (isinstance(hits, list) and hits):
            raise InputError(f"{where}: found the hits {reprlib.repr(hits)}; expected a list of one or more")
        query_id = _filled(f"{where}, hit 1", hits[0], ("qid",))
        if query_id in queries:
            raise InputError(f"{where}: found qid {query_id!r} a second time; expected one entry a query; merge them")
        queries[query_id] = Query(query_id, text)
        for place, hit in enumerate(hits, start=1):
            document, candidate = _hit(f"{where}, hit {place}", hit, query_id)
            if documents.setdefault(document.doc_id, document) != document:
                raise InputError(
                    f"{where}, hit {place}: found another content of docid {document.doc_id!r} than before; "
                    "expected one content a docid; mend the file"
                )
            scored.append(candidate)
    return list(queries.values()), documents, Run.from_scores(scored, tag="rankgpt")


def _hit(where: str, hit: object, query_id: str) -> tuple[Document, ScoredDoc]:
    found = _filled(where, hit, ("qid",))
    if found != query_id:
        raise InputError(f"{where}: found qid {found!r}; expected {query_id!r}, as the first hit has; mend the hit")
    score = _value(where, hit, ("score",))
    if not isinstance(score, int | float) or math.isnan(score):
        raise InputError(f"{where}: found the score {reprlib.repr(score)}; expected a number; mend the hit")
    doc_id = _filled(where, hit, ("docid",))
    return Document(doc_id, _string(where, hit, ("content",))), ScoredDoc(query_id, doc_id, score)


def _choose_split(folder: Path, split: str | None) -> tuple[Path, Path | None]:
    """The queries file and the qrels file, if there is one, of the split."""
    queries = _by_split(folder, _QUERIES_NAME)
    qrels = _by_split(folder, _QRELS_NAME)
    for name, path in _by_split(folder / "qrels", _QRELS_IN_FOLDER_NAME).items():
        if name in qrels:
            raise InputError(f"{folder}: found both {qrels[name].name} and qrels/{path.name}; keep one")
        qrels[name] = path
    splits = sorted({name for name in (*queries, *qrels) if name is not None})
    if split is None and max(len(splits), len(queries), len(qrels)) > 1:
        raise InputError(
            f"{folder}: found the splits {', '.join(splits)}"
            f"{' beside files of no split' if None in queries.keys() & qrels.keys() else ''}; "
            f"expected to be told which; name one, for example split={splits[0]}"
        )
    if split is not None and split not in splits:
        raise InputError(f"{folder}: found no split {split!r}; expected one of these: {', '.join(splits) or '(none)'}")
    chosen = split if split is not None else next(iter(splits), None)
    queries_file = queries.get(chosen, queries.get(None))
    if queries_file is None:
        expected = "queries.jsonl" + (f" or queries.{chosen}.jsonl" if chosen else "")
        raise InputError(f"{folder}: found no {expected}, plain or .gz; expected one; add the queries")
    return queries_file, qrels.get(chosen, qrels.get(None))


def _by_split(folder: Path, pattern: re.Pattern[str]) -> dict[str | None, Path]:
    """The folder's files whose name fits, by the split that the name tells."""
    files: dict[str | None, Path] = {}
    for path in _files(folder, pattern):
        match = pattern.fullmatch(path.name)
        split = match.groupdict().get("split") if match else None
        if split in files:
            raise InputError(f"{folder}: found both {files[split].name} and {path.name}; expected one; keep one")
        files[split] = path
    return files


def _files(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.is_file() and pattern.fullmatch(path.name)]


def _of_known_queries(path: Path, qrels: list[Qrel], topics: Collection[str]) -> list[Qrel]:
    known = [qrel for qrel in qrels if qrel.query_id in topics]
    unknown = list(dict.fromkeys(qrel.query_id for qrel in qrels if qrel.query_id not in topics))
    if not known:
        raise InputError(
            f"{path}: found {len(unknown)} query ids, the first {unknown[0]!r}, and none among the queries; "
            "expected qrels of these queries; check that both files are of one split"
        )
    if unknown:
        logger.warning(
            "%s: %d query ids, the first %r, are not among the queries and are left out",
            path,
            len(unknown),
            unknown[0],
        )
    return known


def _judged_queries(topics: Mapping[str, _Topic], judged: Collection[str]) -> dict[str, Query]:
    queries = {}
    for query_id, topic in topics.items():
        if query_id in judged:
            # CACM, for one, has numbers of queries without text or qrels: only a judged query needs its text.
            if not topic.query.text.strip():
                raise InputError(
                    f"{topic.where}: found no text for the query {query_id!r}, which has qrels; "
                    "expected a text; fill it, or remove the query and its qrels"
                )
            queries[query_id] = topic.query
    return queries


def _check_in_corpus(path: Path, doc_ids: Iterable[str], corpus: Collection[str]) -> None:
    missing = list(dict.fromkeys(doc_id for doc_id in doc_ids if doc_id not in corpus))
    if missing:
        raise InputError(
            f"{path}: found {len(missing)} document ids that the corpus lacks, the first {missing[0]!r}; "
            "expected every one in the corpus; complete the corpus or remove these lines"
        )


def _exclusions(folder: Path, topics: Iterable[_Topic]) -> dict[str, frozenset[str]]:
    excluded = {topic.query.query_id: topic.excluded for topic in topics}
    path = folder / EXCLUSIONS_FILE
    for line in read_qrels(path) if path.exists() else ():
        if line.query_id in excluded:
            excluded[line.query_id] |= {line.doc_id}
    return {query_id: doc_ids for query_id, doc_ids in excluded.items() if doc_ids}


def _candidates(folder: Path, split: str | None, queries: Collection[str], corpus: Collection[str]) -> Run | None:
    paths = _files(folder, _RUN_NAME)
    if len(paths) > 1 and split is not None:
        paths = [path for path in paths if f".{split}." in path.name] or paths
    if not paths:
        return None
    if len(paths) > 1:
        raise InputError(
            f"{folder}: found the runs {', '.join(path.name for path in paths)}; expected one at most; "
            "leave one and keep the others outside the folder"
        )
    run = read_run(paths[0]).only(queries)
    if not run:
        logger.warning("%s: ranks none of the queries that are evaluated and is left out", paths[0])
        return None
    _check_in_corpus(paths[0], (item.doc_id for item in run.scored_docs()), corpus)
    return run


def _index(path: Path, build: Callable[[str, object], _Item], key: Callable[[_Item], str]) -> dict[str, _Item]:
    """What a JSONL file holds, by id, in file order."""
    items: dict[str, _Item] = {}
    for where, row in _json_rows(path):
        item = build(where, row)
        if key(item) in items:
            raise InputError(f"{where}: found the id {key(item)!r} a second time; expected each once; remove one")
        items[key(item)] = item
    if not items:
        raise InputError(f"{path}: found no row; expected one JSON object a line; name a filled file")
    return items


def _json_rows(path: Path) -> Iterator[tuple[str, object]]:
    for number, line in numbered_lines(path):
        if line.strip():
            where = f"{path}:{number}"
            yield where, _parse_json(where, line)


def _parse_json(where: str, text: str) -> object:
    try:
        parsed: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: found what is not JSON ({error}); expected JSON; mend or remove it") from error
    return parsed


def _topic(where: str, row: object) -> _Topic:
    query = Query(_filled(where, row, _ID), _string(where, row, _QUESTION))
    return _Topic(where, query, frozenset(_ids(where, row, "excluded_ids")), _ids(where, row, "gold_ids"))


def _document(where: str, row: object) -> Document:
    title = _string(where, row, ("title",)) if _columns(where, row).get("title") is not None else ""
    return Document(_filled(where, row, _ID), _string(where, row, _TEXT), title)


def _columns(where: str, row: object) -> Mapping[str, object]:
    if not isinstance(row, dict):
        raise InputError(f"{where}: found {reprlib.repr(row)}; expected a JSON object; mend or remove it")
    return row


def _value(where: str, row: object, names: tuple[str, ...]) -> object:
    """The value of the first of these columns that the row has."""
    columns = _columns(where, row)
    for name in names:
        if name in columns:
            return columns[name]
    raise InputError(
        f"{where}: found the columns {', '.join(columns) or 'none'}; expected {' or '.join(names)}; add it"
    )


def _string(where: str, row: object, names: tuple[str, ...]) -> str:
    value = _value(where, row, names)
    # RankGPT writes query ids as numbers.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InputError(f"{where}: found {reprlib.repr(value)} as {' or '.join(names)}; expected text; mend it")
    return value


def _filled(where: str, row: object, names: tuple[str, ...]) -> str:
    value = _string(where, row, names)
    if not value.strip():
        raise InputError(f"{where}: found an empty {' or '.join(names)}; expected text; fill it or remove the row")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"{where}: found {value!r}, half a character that UTF-8 cannot write; mend the {names[0]}")
    return value


def _ids(where: str, row: object, name: str) -> tuple[str, ...]:
    """The ids listed in a column of BRIGHT's, each once; none where the row has no such column."""
    value = _columns(where, row).get(name, [])
    if not (isinstance(value, list) and all(isinstance(doc_id, str) for doc_id in value)):
        raise InputError(f"{where}: found {reprlib.repr(value)} as {name}; expected a list of ids; mend it")
    return tuple(dict.fromkeys(doc_id for doc_id in value if doc_id != NOTHING))
