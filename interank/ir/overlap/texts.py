"""Readers of benchmarks' texts, in any layout, with or without documents or qrels, all splits at once.

`interank.ir.benchmarks` reads a benchmark for evaluation, and is strict. These readers want its texts only, to keep
them out of training data, and skip everything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from interank.errors import InputError
from interank.ir.benchmarks import task_name
from interank.ir.benchmarks.rows import ROWS_AT_ONCE, parse_json, rows_of
from interank.ir.limits import parquet_batches
from interank.ir.overlap.posts import page_name, post_named
from interank.ir.trec import numbered_lines, whole_text

_ID = ("_id", "id", "query_id", "qid", "doc_id", "docid", "pid")
_QUESTION = ("query", "text", "question")
_TEXT = ("text", "content", "contents", "passage", "document")
_ADDRESSES = ("url", "link", "source_url", "source")
_ANSWER = "gold_answer"
_DOC_IDS = ("gold_ids", "gold_ids_long", "excluded_ids")
# BRIGHT's entries for a missing answer.
_NOTHING = frozenset({"", "N/A", "empty"})

_ROWS = r"(?:-[0-9]{5}-of-[0-9]{5})?\.(?:jsonl|ndjson|parquet)(?:\.gz)?"
_ROWS_NAME = re.compile(rf"(?P<task>.+?){_ROWS}")
_QUERIES_NAME = re.compile(rf"queries(?:[._-][^.]+?)?{_ROWS}")
_CORPUS_NAME = re.compile(rf"corpus(?:[._-][^.]+?)?{_ROWS}")
_RANKGPT_NAME = re.compile(r".+\.json(?:\.gz)?")
_TOPICS_NAME = re.compile(r".*(?:topics|queries).*\.(?:tsv|txt|trec|xml)(?:\.gz)?|topics\..*[^z]", re.IGNORECASE)
_TOPIC = re.compile(r"<num>(?:\s*Number:)?\s*([^\s<]+).*?<title>(?:\s*Topic:)?\s*([^<]+)", re.IGNORECASE | re.DOTALL)
# Levels of folders to search for benchmarks.
_DEPTH = 3

_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BenchmarkQuery:
    """A query with its known answer, and the addresses and ids of itself and its documents."""

    query_id: str
    text: str
    answer: str = ""
    names: tuple[str, ...] = ()
    """Addresses of the query itself."""
    doc_ids: tuple[str, ...] = ()
    """Those ids of its documents that are addresses or name a post."""


@dataclass(frozen=True, slots=True)
class BenchmarkDocument:
    """A document with the addresses in its row."""

    doc_id: str
    text: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BenchmarkTexts:
    """A task's queries, and its documents if there are any; each call of `documents` streams them anew."""

    name: str
    task: str
    queries: tuple[BenchmarkQuery, ...]
    documents: Callable[[], Iterator[BenchmarkDocument]] | None = None
    site: str = ""
    """The StackExchange site if the benchmark's ids are its post ids (CQADupStack); else empty."""

    def queries_alone(self) -> BenchmarkTexts:
        """The task without documents, answers and ids of documents."""
        queries = tuple(replace(query, answer="", doc_ids=()) for query in self.queries)
        return replace(self, queries=queries, documents=None)


def read_texts(path: Path) -> list[BenchmarkTexts]:
    """Read the texts of a benchmark, or of a folder of benchmarks.

    It reads BEIR's layout (`queries*.jsonl`, `corpus.jsonl`, or folders `queries/` and `corpus/`), BRIGHT's rows (a
    `TASK.jsonl` for each task) and its hub layout (`examples/TASK-*`, `documents/TASK-*`), RankGPT's JSON, and TREC
    topics. Rows are JSONL or Parquet, files plain or gzipped.

    Raises:
        InputError: The path does not exist, holds no benchmark, or a file is damaged.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; name the file or folder of a benchmark")
    texts = _of_file(path) if path.is_file() else _of_folder(path, _DEPTH)
    if not texts:
        raise InputError(
            f"{path} holds no benchmark's texts of a known form: BEIR's queries.jsonl and corpus.jsonl, "
            "BRIGHT's rows (TASK.jsonl, or examples/ and documents/), RankGPT's JSON or TREC topics; name "
            "the folder that holds them"
        )
    return texts


def _of_folder(folder: Path, depth: int) -> list[BenchmarkTexts]:
    files = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    named = {entry.name: entry for entry in files if entry.is_dir()}
    if "examples" in named or ("documents" in named and "long_documents" in named):
        return _of_hub(folder)
    queries, corpus = _beir_files(folder, _QUERIES_NAME, "queries"), _beir_files(folder, _CORPUS_NAME, "corpus")
    if queries or corpus:
        name = task_name(folder.resolve().name)
        site = name if "cqadupstack" in (part.lower() for part in folder.resolve().parts) else ""
        return [BenchmarkTexts(name, name, _queries(queries), _documents(corpus) if corpus else None, site)]
    texts = [each for path in files if path.is_file() and _is_text(path) for each in _of_file(path)]
    if depth:
        texts += [each for inner in named.values() for each in _of_folder(inner, depth - 1)]
    return texts


def _of_file(path: Path) -> list[BenchmarkTexts]:
    """A file's queries or documents; empty if its rows are neither."""
    match = _ROWS_NAME.fullmatch(path.name)
    folder = task_name(path.resolve().parent.name)
    if match:
        task = task_name(match["task"])
        row = next(_rows(path), ("", {}))[1]
        if "query" in row or _QUERIES_NAME.fullmatch(path.name):
            name = "bright" if _is_bright(row) else folder
            return [BenchmarkTexts(name, task, _queries([path]))]
        if "content" in row or _CORPUS_NAME.fullmatch(path.name):
            return [BenchmarkTexts(folder, task, (), _documents([path]))]
        return []
    if _RANKGPT_NAME.fullmatch(path.name):
        return _of_rankgpt(path, folder)
    topics = tuple(_topics(path))
    return [BenchmarkTexts(folder, task_name(_stem(path)), topics)] if topics else []


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).stem


def _is_text(path: Path) -> bool:
    return any(pattern.fullmatch(path.name) for pattern in (_ROWS_NAME, _RANKGPT_NAME, _TOPICS_NAME))


def _is_bright(row: _Row) -> bool:
    return "gold_ids" in row and "excluded_ids" in row


def _of_hub(folder: Path) -> list[BenchmarkTexts]:
    """The tasks of BRIGHT's hub layout, by the files' names; long documents if there are no short ones."""
    queries = _by_task(folder / "examples")
    documents = _by_task(folder / "documents") or _by_task(folder / "long_documents")
    return [
        BenchmarkTexts(
            "bright", task, _queries(queries.get(task, [])), _documents(documents[task]) if task in documents else None
        )
        for task in sorted({*queries, *documents})
    ]


def _by_task(folder: Path) -> dict[str, list[Path]]:
    tasks: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _ROWS_NAME.fullmatch(path.name)
        if match:
            tasks.setdefault(task_name(match["task"]), []).append(path)
    return tasks


def _beir_files(folder: Path, pattern: re.Pattern[str], inner: str) -> list[Path]:
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and pattern.fullmatch(path.name)]
    if not files and (folder / inner).is_dir():
        files = [path for path in sorted((folder / inner).iterdir()) if _ROWS_NAME.fullmatch(path.name)]
    return files


def _queries(paths: Iterable[Path]) -> tuple[BenchmarkQuery, ...]:
    """The queries that have a text; a query that several splits repeat is given once."""
    queries: dict[tuple[str, str], BenchmarkQuery] = {}
    for path in paths:
        for where, row in _rows(path):
            text = _first(row, _QUESTION)
            if not text.strip():
                continue
            query_id = _first(row, _ID) or where
            answer = row.get(_ANSWER)
            query = BenchmarkQuery(
                query_id,
                text,
                answer if isinstance(answer, str) and answer not in _NOTHING else "",
                _names(row),
                tuple(_naming_ids(row)),
            )
            queries.setdefault((query_id, text), query)
    return tuple(queries.values())


def _documents(paths: list[Path]) -> Callable[[], Iterator[BenchmarkDocument]]:
    def stream() -> Iterator[BenchmarkDocument]:
        for path in paths:
            for where, row in _rows(path):
                title, text = _first(row, ("title",)), _first(row, _TEXT)
                yield BenchmarkDocument(_first(row, _ID) or where, f"{title}\n{text}" if title else text, _names(row))

    return stream


def _names(row: _Row) -> tuple[str, ...]:
    inner = row.get("metadata")
    places = (row, inner) if isinstance(inner, Mapping) else (row,)
    values = (place.get(column) for place in places for column in _ADDRESSES)
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and _names_a_page(value)))


def _naming_ids(row: _Row) -> Iterator[str]:
    for column in _DOC_IDS:
        value = row.get(column)
        for doc_id in value if isinstance(value, list) else ():
            # A cheap test first: lists of thousands of ids are common, and addresses among them rare.
            if isinstance(doc_id, str) and "." in doc_id and _names_a_page(doc_id):
                yield doc_id


def _names_a_page(value: str) -> bool:
    return page_name(value) is not None or bool(post_named(value))


def _first(row: _Row, columns: tuple[str, ...]) -> str:
    """The first of these columns that holds text or a number; empty if none does."""
    for column in columns:
        value = row.get(column)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str):
            return value
    return ""


def _of_rankgpt(path: Path, folder: str) -> list[BenchmarkTexts]:
    items = parse_json(str(path), whole_text(path))
    if not (isinstance(items, list) and items and all(isinstance(item, dict) and "hits" in item for item in items)):
        return []
    queries = []
    for number, item in enumerate(items):
        hits = [hit for hit in item["hits"] if isinstance(hit, dict)]
        query_id = _first(hits[0], ("qid",)) if hits else ""
        queries.append(BenchmarkQuery(query_id or _first(item, _ID) or str(number), _first(item, _QUESTION)))

    def documents() -> Iterator[BenchmarkDocument]:
        seen: set[str] = set()
        for item in items:
            for hit in item["hits"]:
                doc_id, text = _first(hit, ("docid", *_ID)), _first(hit, _TEXT)
                if text and doc_id not in seen:
                    seen.add(doc_id)
                    yield BenchmarkDocument(doc_id, text)

    return [BenchmarkTexts(folder, task_name(_stem(path)), tuple(queries), documents)]


def _topics(path: Path) -> Iterator[BenchmarkQuery]:
    """TREC's topics: lines of id, tab, text; or `<top>` with `<num>` and `<title>`."""
    lines = [line for _, line in numbered_lines(path)]
    text = "\n".join(lines)
    if "<top" in text.lower():
        for match in _TOPIC.finditer(text):
            yield BenchmarkQuery(match.group(1), match.group(2).strip())
        return
    for line in lines:
        query_id, tab, query = line.partition("\t")
        if tab and query.strip() and "\t" not in query:
            yield BenchmarkQuery(query_id.strip(), query.strip())


def _rows(path: Path) -> Iterator[tuple[str, _Row]]:
    """The file's rows, each with its place, streamed."""
    if ".parquet" in path.suffixes:
        yield from _parquet_rows(path)
        return
    for number, line in numbered_lines(path):
        if line.strip():
            where = f"{path}:{number}"
            row = parse_json(where, line)
            if not isinstance(row, dict):
                raise InputError(f"{where} is JSON, but not an object; mend or remove it")
            yield where, row


def _parquet_rows(path: Path) -> Iterator[tuple[str, _Row]]:
    import pyarrow
    import pyarrow.parquet

    try:
        number = 0
        for batch in parquet_batches(pyarrow.parquet.ParquetFile(path), path, ROWS_AT_ONCE):
            for row in rows_of(batch):
                number += 1
                if isinstance(row, Exception):
                    raise InputError(f"{path}: row {number}: {row}; mend or remove it")
                yield f"{path}: row {number}", row
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as Parquet ({error}); fetch the file again") from error
