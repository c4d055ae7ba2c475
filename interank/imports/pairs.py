"""Readers of labelled pairs: human labels, other rerankers' scores, LLM judgments, and qrels of any layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from interank.errors import InputError
from interank.imports.grades import Scale, is_partial, label
from interank.imports.labels import Label, Labels, shown
from interank.imports.question_import import tables_of
from interank.imports.results import ImportSettings
from interank.imports.rows import Rows
from interank.imports.texts import DOCUMENT_ROLES, QUERY_ROLES, Texts, read_texts
from interank.ir.benchmarks import BenchmarkOptions, load_tasks
from interank.ir.trec import numbered_lines, read_qrels, read_scored
from interank.tables import find_table, values
from interank.tables.columns import Role, assign, first_rows, names_in
from interank.wording import counted, listed, nearby

_LABEL = Role(
    "label",
    "how relevant the document is to the query",
    ("label", "relevance", "grade", "rel", "judgment", "judgement", "rating", "is_relevant", "relevant", "score"),
)
_SCORE = Role(
    "label",
    "the score or grade",
    ("score", "grade", "relevance", "label", "rating", "similarity", "rerank_score", "judgment", "judgement"),
    required=True,
)
_MORE = (
    Role(
        "explanation",
        "why",
        ("explanation", "reason", "reasoning", "rationale", "justification", "comment"),
        joins=True,
    ),
    Role("weight", "how much the pair counts", ("weight", "sample_weight")),
)
EXAMPLE = {"query": "why does bread collapse", "document": "Steam softens the crumb.", "label": 1}
_HEADERS = ("query-id", "query_id", "qid")


def read_pairs(settings: ImportSettings) -> Labels:
    """Read tables of query, document and label; without a column of labels each pair is relevant.

    Raises:
        InputError: A column or text is missing, or a row cannot be used.
    """
    return _of_tables(settings, _LABEL)


def read_scores(settings: ImportSettings) -> Labels:
    """Read tables of query, document and score, or a run (`run=FILE`) with its queries and corpus.

    Raises:
        InputError: As in `read_pairs`.
    """
    if path := settings.parts.get("run"):
        if settings.paths:
            raise InputError(f"run={path} and the table {settings.paths[0]} were both given; leave one out")
        scored = read_scored(path)
        triples = [(query_id, doc_id, score) for query_id, row in scored.items() for doc_id, score in row.items()]
        return _of_ids(settings, path, triples)
    return _of_tables(settings, _SCORE)


def read_qrels_of(settings: ImportSettings) -> Labels:
    """Read a benchmark's folder, or qrels with `corpus=FILE` and `queries=FILE`.

    Raises:
        InputError: As in `read_pairs`, or the folder holds several tasks.
    """
    path = _qrels_path(settings)
    if path.is_dir():
        return _of_folder(settings, path)
    lacking = [name for name in ("corpus", "queries") if name not in settings.parts]
    if lacking:
        raise InputError(
            f"{path} are qrels without {' and '.join(f'{name}=FILE' for name in lacking)}, and only ids are in qrels, "
            "no texts; add the files, or give a folder in BEIR's layout"
        )
    if _is_plain_qrels(path):
        return _of_ids(settings, path, [(row.query_id, row.doc_id, float(row.relevance)) for row in read_qrels(path)])
    # A table of qrels has to have a column of labels.
    return _of_tables(settings, _LABEL._replace(required=True), [path])


def _qrels_path(settings: ImportSettings) -> Path:
    paths = [*settings.paths, *([settings.parts["qrels"]] if "qrels" in settings.parts else [])]
    if len(paths) != 1:
        raise InputError(
            f"{counted(len(paths), 'file')} of qrels ({listed(paths)}) were given, where one is needed; give a "
            "folder in BEIR's layout, or qrels=FILE corpus=FILE queries=FILE"
        )
    if not paths[0].exists():
        raise InputError(
            f"{paths[0]} does not exist{nearby(paths[0])}; name a folder in BEIR's layout, or a file of qrels"
        )
    return paths[0]


def _is_plain_qrels(path: Path) -> bool:
    """Whether a file is qrels in TREC's or BEIR's format, not a table with other columns."""
    if find_table(path) is not None and ".tsv" not in path.suffixes:
        return False
    cells = next((line.split() for _, line in numbered_lines(path) if line.strip()), [])
    return bool(cells) and (cells[0].lower() in _HEADERS or cells[-1].lstrip("+-").isdecimal())


def _of_folder(settings: ImportSettings, path: Path) -> Labels:
    if settings.parts.keys() - {"qrels"}:
        raise InputError(f"{path} is a folder, which has its own corpus and queries; leave the other parts out")
    tasks = load_tasks(path, BenchmarkOptions(split=settings.split))
    if len(tasks) != 1:
        names = ", ".join(task.name for task in tasks)
        raise InputError(f"{path} holds the tasks {names}; name the folder of one of them")
    task = tasks[0]
    texts = Texts(settings.source, task.documents(), task.queries)
    triples = [(row.query_id, row.doc_id, float(row.relevance)) for row in task.qrels]
    labels = list(_labels_of(texts, path, triples))
    return Labels(labels, texts, {}, shown(labels[0]), barred=task.excluded)


def _of_ids(settings: ImportSettings, path: Path, triples: list[tuple[str, str, float]]) -> Labels:
    texts = read_texts(settings)
    labels = list(_labels_of(texts, path, triples))
    return Labels(labels, texts, texts.columns, shown(labels[0]))


def _labels_of(texts: Texts, path: Path, triples: list[tuple[str, str, float]]) -> Iterator[Label]:
    for query_id, doc_id, value in triples:
        query, document = texts.by_id(str(path), query_id, doc_id)
        yield Label(query, document, value, texts.origin(None, document))


def _of_tables(settings: ImportSettings, role: Role, paths: list[Path] | None = None) -> Labels:
    tables = tables_of(paths or settings.paths)
    if not tables:
        raise InputError("no table was named; name one of pairs of a query and a document")
    texts = read_texts(settings)
    where = ", ".join(str(table.path) for table in tables)
    roles = (*required_roles(texts), role, *_MORE)
    columns = assign(where, names_in(first_rows(tables)), roles, settings.columns)
    rows = Rows(tables, columns, EXAMPLE)
    counts: Counter[str] = Counter()
    labels, partial = [], False
    for cells in rows:
        counts["rows"] += 1
        if empty := texts.empty(cells):
            counts[f"empty_{empty}"] += 1
            continue
        query, document = texts.query(cells), texts.document(cells)
        value = cells.read("label", label) if "label" in columns.of else 1.0
        partial = partial or is_partial(columns.value(cells.values, "label"))
        if value is None:
            counts["unlabelled"] += 1
            continue
        weight = cells.read("weight", values.number)
        if weight is not None and weight <= 0:
            raise cells.fault(f"{columns.of['weight']}: {weight:g} is no weight; a weight is above 0")
        source = texts.origin(cells, document)
        pair = Label(query, document, value, source, cells.text("explanation"), 1.0 if weight is None else weight)
        labels.append(pair)
        rows.keep_sample(shown(pair))
    return Labels(
        labels,
        texts,
        {", ".join(table.path.name for table in tables): columns, **texts.columns},
        rows.sample or {},
        counts,
        Scale(1, 1) if "label" not in columns.of else Scale(1, 2) if partial and settings.grades is None else None,
        weights=f"the column {columns.of['weight']}" if "weight" in columns.of else "",
    )


def required_roles(texts: Texts) -> list[Role]:
    """The roles of query and document; a text that no file gives is required in the rows."""
    roles = []
    for role in (*QUERY_ROLES, *DOCUMENT_ROLES):
        in_rows = (role.name == "query" and texts.listed is None) or (role.name == "document" and texts.corpus is None)
        roles.append(role._replace(required=in_rows))
    return roles
