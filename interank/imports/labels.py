"""Labelled pairs of every kind as judgments: one label a pair, a grade, negatives where there are none, and a card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interank.cards import save_card
from interank.errors import InputError
from interank.imports.card import card
from interank.imports.grades import Scale, agreed, scale_of
from interank.imports.negatives import draw_negatives
from interank.imports.results import ImportResult, ImportSettings
from interank.imports.texts import Texts
from interank.judgments import PARQUET, Mark, write_judgments
from interank.ledger import write_rows
from interank.tables.columns import Columns
from interank.types import Document, Example, Judgment, Query, Relevance, Source
from interank.wording import counted

CORPUS_FILE = "corpus.jsonl"
_LEFT_OUT = (
    ("empty_queries", "without a text of the query"),
    ("empty_documents", "without a text of a document"),
    ("unlabelled", "without a label"),
)


@dataclass(frozen=True, slots=True)
class Label:
    """What somebody said of a query and a document."""

    query: Query
    document: Document
    value: float
    source: Source
    explanation: str = ""
    weight: float = 1.0


@dataclass(slots=True)
class Labels:
    """What the reader of a kind found."""

    labels: list[Label]
    texts: Texts
    columns: Mapping[str, Columns]
    sample: Mapping[str, Any]
    counts: Counter[str] = field(default_factory=Counter)
    scale: Scale | None = None
    """Where the kind itself knows which value is which grade."""
    scores: str = ""
    """What a score is, where the kind gives scores of its own."""
    weights: str = ""
    """What a weight is, where pairs have weights."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the kind's values were made with."""
    barred: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Documents that are no negatives of a query."""


@dataclass(slots=True)
class _Made:
    examples: list[Example]
    marks: list[Mark | None]
    notes: dict[str, Any]
    counts: dict[str, int]


def imported_labels(settings: ImportSettings, read: Callable[[ImportSettings], Labels]) -> ImportResult:
    """Read labels by the reader of their kind, and make judgments of them.

    Raises:
        InputError: Something cannot be read, or nothing says which label is which grade.
    """
    found = read(settings)
    if not found.labels:
        raise InputError(
            f"{settings.source} has no row with a query, a document and a label; name another table, or its columns "
            "with --map"
        )
    made = _made(settings, found)
    labels = made.notes["labels"]
    told = [f"Grades: {labels['grades']}."]
    told += [f"{name.capitalize()}: {labels[name]}." for name in ("scores", "weights", "negatives") if labels[name]]
    told += [
        f"Left out: {counted(made.counts[name], 'row')} {what}." for name, what in _LEFT_OUT if made.counts.get(name)
    ]
    told.append("All questions are for training; interank split holds some back for validation and for a test.")
    if not made.counts["relevance_0"]:
        told.append("No pair has grade 0, so there is nothing to tell the others from; give a corpus, or --negatives.")
    return ImportResult(
        "judgments",
        found.columns,
        found.sample,
        made.counts,
        made.notes,
        told,
        lambda folder: _write(folder, settings, found, made, told),
    )


def _made(settings: ImportSettings, found: Labels) -> _Made:
    by_pair: dict[tuple[str, str], list[Label]] = {}
    for label in found.labels:
        by_pair.setdefault((label.query.query_id, label.document.doc_id), []).append(label)
    chosen = [_one(labels) for labels in by_pair.values()]
    scale = found.scale or scale_of((label.value for label in chosen), settings.grades, settings.source)
    plain = {0.0, 1.0} if scale.low == scale.high else {0.0, 1.0, 2.0}
    scored = bool(found.scores) or any(label.value not in plain for label in chosen)
    examples: dict[str, list[tuple[Example, Mark | None]]] = {}
    for label in chosen:
        judgment = Judgment(label.explanation, scale.grade(label.value))
        score = label.value if scored else None
        example = Example(label.query, label.document, judgment, None, "train", label.source, score, label.weight)
        examples.setdefault(label.query.query_id, []).append((example, None))
    added = _add_negatives(settings, found, examples)
    rows = [row for group in examples.values() for row in group]
    listed = [example for example, _ in rows]
    grades = Counter(int(example.judgment.relevance) for example in listed)
    explained = sum(bool(example.judgment.reasoning) for example in listed)
    notes = {
        "grades": settings.kind,
        "labels": {
            "kind": settings.kind,
            "columns": {table: dict(of.of) for table, of in found.columns.items()},
            "grades": scale.sentence(),
            "scores": (found.scores or "the label itself") if scored else "",
            "weights": found.weights,
            "negatives": _negatives_told(settings, added),
            "explained": explained,
            **found.settings,
        },
        "sites": {settings.source: {"judgments": len(listed), "questions": len(examples)}},
        "decontamination": None,
    }
    counts = {
        **found.counts,
        "judgments": len(listed),
        "questions": len(examples),
        **{f"relevance_{grade}": grades[grade] for grade in (0, 1, 2)},
        "explained": explained,
        "added_negatives": added,
        "repeated_pairs": len(found.labels) - len(chosen),
    }
    return _Made(listed, [mark for _, mark in rows], notes, counts)


def _one(labels: Sequence[Label]) -> Label:
    """The label of a pair that has several; its explanation is of one who gave it."""
    value = agreed([label.value for label in labels])
    given = [label for label in labels if label.value == value]
    return next((label for label in given if label.explanation), given[0])


def _add_negatives(
    settings: ImportSettings, found: Labels, examples: dict[str, list[tuple[Example, Mark | None]]]
) -> int:
    lacking = [
        group[0][0].query
        for group in examples.values()
        if all(example.judgment.relevance > Relevance.IRRELEVANT for example, _ in group)
    ]
    pool = found.texts.pool()
    judged = {
        query.query_id: {
            **{example.document.doc_id: example.document for example, _ in examples[query.query_id]},
            **{name: pool[name] for name in found.barred.get(query.query_id, ()) if name in pool},
        }
        for query in lacking
    }
    drawn = draw_negatives(lacking, judged, pool, settings.negatives, settings.seed)
    for query in lacking:
        for origin, document in drawn.get(query.query_id, ()):
            source = Source(settings.source, document.doc_id, "", "", "")
            judgment = Judgment("", Relevance.IRRELEVANT)
            example = Example(query, document, judgment, None, "train", source)
            examples[query.query_id].append((example, Mark(origin, None, False)))
    return sum(map(len, drawn.values()))


def _negatives_told(settings: ImportSettings, added: int) -> str:
    return (
        f"{added} documents that nobody judged for a query without grade 0 are taken as grade 0, up to "
        f"{settings.negatives} each: half by BM25, the others drawn by the seed, none nearly the same as a judged one"
        if added
        else ""
    )


def _write(folder: Path, settings: ImportSettings, found: Labels, made: _Made, told: Sequence[str]) -> None:
    write_judgments(made.examples, folder, made.marks)
    corpus = found.texts.corpus
    if corpus is not None:
        write_rows(
            folder / CORPUS_FILE,
            [{"_id": item.doc_id, "title": item.title, "text": item.text} for item in corpus.values()],
        )
    about = [
        f"Labelled pairs of a query and a document ({settings.kind}), imported by interank, without a teacher.",
        *told,
    ]
    licences = [example.source.licence for example in made.examples]
    save_card(card(settings.source, about, found.columns, made.counts, licences, {"train": PARQUET["train"]}), folder)


def shown(label: Label) -> dict[str, Any]:
    """A label as a row for messages."""
    row = {
        "query_id": label.query.query_id,
        "query": label.query.text,
        "doc_id": label.document.doc_id,
        "document": label.document.full_text,
        "label": label.value,
        "explanation": label.explanation,
        "weight": label.weight,
    }
    return dict(json.loads(json.dumps(row)))
