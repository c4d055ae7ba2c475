"""Click logs: what was shown in which order and what was clicked, each click weighed for its position.

An unclicked document low on a page was hardly looked at, and a click there says more than one at the top. With p(k)
the probability that position k is looked at, a pair's score is the mean over its impressions of clicked / p(k), an
unbiased estimate of its probability of being clicked once it is looked at (Joachims, Swaminathan and Schnabel 2017);
each term is clipped, which bounds what one click says.
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
# Without --grades: from these scores on a pair is grade 1, and grade 2.
LOW, HIGH = 0.1, 0.3


@dataclass(slots=True)
class _Seen:
    """What happened to a document of a query."""

    query: Query
    document: Document
    source: Source
    impressions: int = 0
    clicks: int = 0
    clicked: float = 0.0
    """The sum of clicks, each by its position."""
    looked_at: float = 0.0
    """How often it was looked at, in expectation."""


@dataclass(slots=True)
class _Log:
    """Impressions, added up."""

    propensities: Sequence[float] | None
    clip: float
    seen: dict[tuple[str, str], _Seen] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, query: Query, document: Document, source: Source, position: int, clicked: bool) -> None:
        """One document shown once."""
        told = self.propensities
        looked_at = 1 / position if told is None else told[min(position, len(told)) - 1]
        pair = self.seen.setdefault((query.query_id, document.doc_id), _Seen(query, document, source))
        pair.impressions += 1
        pair.clicks += clicked
        pair.clicked += min(1 / looked_at, self.clip) * clicked
        pair.looked_at += looked_at
        self.counts["impressions"] += 1
        self.counts["clicks"] += clicked


def read_clicks(settings: ImportSettings) -> Labels:
    """Logs with a row a page (shown and clicked documents), or a row a document (position, clicked or not).

    Raises:
        InputError: A column or text is missing, or a row cannot be used.
    """
    tables = tables_of(settings.paths)
    if not tables:
        raise InputError("no click log was named; name its table")
    texts = read_texts(settings)
    where = ", ".join(str(table.path) for table in tables)
    found = names_in(first_rows(tables))
    paged = "shown" in settings.columns or "shown" in assign(where, found, [_SHOWN], {}).of
    roles = [role for role in required_roles(texts) if not paged or role.name in ("query_id", "query")]
    roles += [_SHOWN._replace(required=True), _SESSION] if paged else [_POSITION, _CLICK]
    columns = assign(where, found, roles, settings.columns)
    rows = Rows(tables, columns, EXAMPLE)
    log = _Log(settings.propensities, settings.clip)
    for cells in rows:
        log.counts["rows"] += 1
        if empty := texts.empty(cells):
            log.counts[f"empty_{empty}"] += 1
            continue
        for document, position, clicked in _page(cells, texts) if paged else _one(cells, texts):
            log.add(texts.query(cells), document, texts.origin(cells, document), position, clicked)
        rows.read_right(cells.values)
    return _labels(
        settings, log, texts, {", ".join(table.path.name for table in tables): columns, **texts.columns}, rows
    )


def _one(cells: Cells, texts: Texts) -> Iterator[tuple[Document, int, bool]]:
    position = cells.read("position", values.whole)
    if position is None or position < 1:
        raise cells.fault(f"{cells.columns.of['position']}: {position} is no position, which counts from 1")
    yield texts.document(cells), position, bool(cells.read("clicked", values.truth))


def _page(cells: Cells, texts: Texts) -> Iterator[tuple[Document, int, bool]]:
    """The documents of a page, first to last, and whether each was clicked."""
    shown_here = [_document(cells, texts, part) for part in _parts(cells, "shown")]
    names = [document.doc_id for document in shown_here]
    if not names:
        raise cells.fault(f"{cells.columns.of['shown']} is empty, and has to list what was shown, in order")
    clicked = set()
    for part in _parts(cells, "clicked"):
        name = _name(part)
        document = next((item for item in shown_here if name in (item.doc_id, item.text)), None)
        if document is None:
            raise cells.fault(f"{cells.columns.of['clicked']}: {name!r:.60} was clicked, and was not shown")
        clicked.add(document.doc_id)
    for position, document in enumerate(shown_here, start=1):
        yield document, position, document.doc_id in clicked


def _parts(cells: Cells, role: str) -> list[Any]:
    """A list, also as JSON or ids parted by commas, semicolons, bars or blanks."""
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
    """A label of each pair: its score; and its weight, scaled so that the mean is 1."""
    told = settings.grades or (LOW, HIGH)
    scale = Scale(*told, by="by default" if settings.grades is None else "as told")
    raw = {}
    for key, pair in log.seen.items():
        score = pair.clicked / pair.impressions
        raw[key] = pair.clicked if pair.clicks and scale.grade(score) else pair.looked_at
    mean = sum(raw.values()) / len(raw) if raw else 1.0
    labels = []
    for key, pair in log.seen.items():
        score, weight = pair.clicked / pair.impressions, min(raw[key] / mean, settings.clip)
        labels.append(Label(pair.query, pair.document, score, pair.source, weight=weight))
    told_p = "1/position" if log.propensities is None else "as given, the last for all positions after it"
    method = {
        "propensities": list(log.propensities) if log.propensities else "1/position",
        "clip": log.clip,
    }
    scores = (
        f"inverse propensity: the mean over a pair's impressions of clicked / p(position), with p {told_p}, each term "
        f"at most {log.clip:g}"
    )
    weights = (
        "of pairs of grade 1 and 2 the sum of 1/p of their clicks, of pairs of grade 0 how often they were looked at "
        f"in expectation (the sum of p), over the mean of all pairs, at most {log.clip:g}"
    )
    sample = shown(labels[0]) if labels else {}
    return Labels(labels, texts, columns, sample, log.counts, scale, scores, weights, method)
