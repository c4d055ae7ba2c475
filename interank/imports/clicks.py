"""Labels from click logs (the shown documents in order, and the clicked ones), by inverse propensity scoring.

A document low on a page is rarely examined, so a click there says more than one at the top. With p(k) the probability
that position k is examined, a pair's score is the mean over its impressions of clicked / p(k): an unbiased estimate of
the probability of a click on the document once it is examined (Joachims, Swaminathan and Schnabel 2017). Each term is
clipped, which bounds the effect of one click.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from interank.errors import InputError
from interank.imports.grades import Scale
from interank.imports.labels import Label, Labels, shown
from interank.imports.pairs import required_roles
from interank.imports.question_import import tables_of
from interank.imports.results import ImportSettings
from interank.imports.rows import Cells, Rows
from interank.imports.texts import Texts, read_texts
from interank.tables import values
from interank.tables.columns import Columns, Role, assign, first_rows, names_in
from interank.types import Document, Query, Source

_SHOWN = Role(
    "shown",
    "what was shown, in order",
    ("shown", "results", "ranking", "documents", "docs", "impressions", "shown_ids"),
)
_CLICKED = ("clicked", "clicks", "clicked_ids", "clicked_docs", "click", "is_clicked")
_SESSION = Role("clicked", "which of them were clicked", _CLICKED, required=True)
_POSITION = Role("position", "the position, from 1", ("position", "rank", "pos"), required=True)
_CLICK = Role("clicked", "whether it was clicked", _CLICKED, required=True)
EXAMPLE = {"query": "why does bread collapse", "shown": ["D-7", "D-2", "D-9"], "clicked": ["D-2"]}
# The least scores of grades 1 and 2 without --grades.
LOW, HIGH = 0.1, 0.3


@dataclass(slots=True)
class _PairClicks:
    """The impressions and clicks of a document for a query."""

    query: Query
    document: Document
    source: Source
    impressions: int = 0
    clicks: int = 0
    clicked: float = 0.0
    """The sum of the clicks, each weighted by its position."""
    examined: float = 0.0
    """The expected number of examinations."""


@dataclass(slots=True)
class _Log:
    """The sums of all impressions."""

    propensities: Sequence[float] | None
    clip: float
    pairs: dict[tuple[str, str], _PairClicks] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, query: Query, document: Document, source: Source, position: int, clicked: bool) -> None:
        """Add one impression of a document."""
        table = self.propensities
        propensity = 1 / position if table is None else table[min(position, len(table)) - 1]
        pair = self.pairs.setdefault((query.query_id, document.doc_id), _PairClicks(query, document, source))
        pair.impressions += 1
        pair.clicks += clicked
        pair.clicked += min(1 / propensity, self.clip) * clicked
        pair.examined += propensity
        self.counts["impressions"] += 1
        self.counts["clicks"] += clicked


def read_clicks(settings: ImportSettings) -> Labels:
    """Read logs with a row for each page (shown and clicked documents) or each document (position, clicked or not).

    Raises:
        InputError: A column or text is missing, or a row cannot be used.
    """
    tables = tables_of(settings.paths)
    if not tables:
        raise InputError("no click log was named; name its table")
    texts = read_texts(settings)
    where = ", ".join(str(table.path) for table in tables)
    names = names_in(first_rows(tables))
    paged = "shown" in settings.columns or "shown" in assign(where, names, [_SHOWN], {}).of
    roles = [role for role in required_roles(texts) if not paged or role.name in ("query_id", "query")]
    roles += [_SHOWN._replace(required=True), _SESSION] if paged else [_POSITION, _CLICK]
    columns = assign(where, names, roles, settings.columns)
    rows = Rows(tables, columns, EXAMPLE)
    log = _Log(settings.propensities, settings.clip)
    for cells in rows:
        log.counts["rows"] += 1
        if empty := texts.empty(cells):
            log.counts[f"empty_{empty}"] += 1
            continue
        for document, position, clicked in _page(cells, texts) if paged else _one(cells, texts):
            log.add(texts.query(cells), document, texts.origin(cells, document), position, clicked)
        rows.keep_sample(cells.values)
    return _labels(
        settings, log, texts, {", ".join(table.path.name for table in tables): columns, **texts.columns}, rows
    )


def _one(cells: Cells, texts: Texts) -> Iterator[tuple[Document, int, bool]]:
    position = cells.read("position", values.whole)
    if position is None or position < 1:
        raise cells.fault(f"{cells.columns.of['position']}: {position} is no position; positions count from 1")
    yield texts.document(cells), position, bool(cells.read("clicked", values.truth))


def _page(cells: Cells, texts: Texts) -> Iterator[tuple[Document, int, bool]]:
    """The documents of a page in order, each with its position and whether it was clicked."""
    documents = [_document(cells, texts, part) for part in _parts(cells, "shown")]
    names = [document.doc_id for document in documents]
    if not names:
        raise cells.fault(f"{cells.columns.of['shown']} is empty, and has to list the shown documents in order")
    clicked = set()
    for part in _parts(cells, "clicked"):
        name = _name(part)
        document = next((item for item in documents if name in (item.doc_id, item.text)), None)
        if document is None:
            raise cells.fault(f"{cells.columns.of['clicked']}: {name!r:.60} was clicked, but not shown")
        clicked.add(document.doc_id)
    for position, document in enumerate(documents, start=1):
        yield document, position, document.doc_id in clicked


def _parts(cells: Cells, role: str) -> list[Any]:
    """The items of a list, a JSON list, or ids separated by commas, semicolons, bars or blanks."""
    value = cells.columns.value(cells.values, role)
    if values.is_missing(value) or value == "":
        return []
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value]
    if isinstance(value, str) and not value.strip().startswith("["):
        separator = next((sign for sign in "|,;" if sign in value), None)
        return [part.strip() for part in value.split(separator) if part.strip()]
    return cells.read(role, values.items) or []


def _name(part: Any) -> str:
    if isinstance(part, dict):
        return str(next((part[name] for name in ("doc_id", "docid", "id", "_id", "text") if part.get(name)), ""))
    return str(part)


def _document(cells: Cells, texts: Texts, part: Any) -> Document:
    if isinstance(part, dict):
        name = next((name for name in ("doc_id", "docid", "id", "_id") if name in part), "doc_id")
        return texts.document(cells.inner(part, Columns({"doc_id": name, "document": "text", "title": "title"})))
    within = cells.inner({"part": part}, Columns({"doc_id" if texts.corpus is not None else "document": "part"}))
    return texts.document(within)


def _labels(settings: ImportSettings, log: _Log, texts: Texts, columns: dict[str, Columns], rows: Rows) -> Labels:
    """The label of each pair, with its score, and its weight scaled to a mean of 1."""
    thresholds = settings.grades or (LOW, HIGH)
    scale = Scale(*thresholds, by="by default" if settings.grades is None else "by --grades")
    raw = {}
    for key, pair in log.pairs.items():
        score = pair.clicked / pair.impressions
        raw[key] = pair.clicked if pair.clicks and scale.grade(score) else pair.examined
    mean = sum(raw.values()) / len(raw) if raw else 1.0
    labels = []
    for key, pair in log.pairs.items():
        score, weight = pair.clicked / pair.impressions, min(raw[key] / mean, settings.clip)
        labels.append(Label(pair.query, pair.document, score, pair.source, weight=weight))
    propensity = "1/position" if log.propensities is None else "as given, the last for all positions after it"
    method = {
        "propensities": list(log.propensities) if log.propensities else "1/position",
        "clip": log.clip,
    }
    scores = (
        f"inverse propensity: the mean over a pair's impressions of clicked / p(position), with p {propensity}, each "
        f"term at most {log.clip:g}"
    )
    weights = (
        "for pairs of grade 1 and 2 the sum of 1/p of their clicks, for pairs of grade 0 the expected number of "
        f"examinations (the sum of p), divided by the mean of all pairs, at most {log.clip:g}"
    )
    sample = shown(labels[0]) if labels else {}
    return Labels(labels, texts, columns, sample, log.counts, scale, scores, weights, method)
