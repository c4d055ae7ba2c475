"""The conversion of labelled pairs to judgments: one label and grade for each pair, added negatives, and a card."""

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
    """A label of a query and a document."""

    query: Query
    document: Document
    value: float
    source: Source
    explanation: str = ""
    weight: float = 1.0


@dataclass(slots=True)
class Labels:
    """The labels that the reader of a kind of import returns."""

    labels: list[Label]
    texts: Texts
    columns: Mapping[str, Columns]
    sample: Mapping[str, Any]
    counts: Counter[str] = field(default_factory=Counter)
    scale: Scale | None = None
    """The scale, if the kind of import defines it."""
    scores: str = ""
    """The meaning of the scores, if the kind computes them."""
    weights: str = ""
    """The meaning of the weights, if pairs have them."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The settings by which the values were computed, for the manifest."""
    barred: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By query, documents that must not become negatives."""


@dataclass(slots=True)
class _Judgments:
    examples: list[Example]
    marks: list[Mark | None]
    notes: dict[str, Any]
    counts: dict[str, int]


def imported_labels(settings: ImportSettings, read: Callable[[ImportSettings], Labels]) -> ImportResult:
    """Read labels by the reader of their kind, and convert them to judgments.

    Raises:
        InputError: Something cannot be read, or the grades of the labels are not known.
    """
    labels = read(settings)
    if not labels.labels:
        raise InputError(
            f"{settings.source} has no row with a query, a document and a label; name another table, or its columns "
            "with --map"
        )
    judgments = _judgments(settings, labels)
    facts = judgments.notes["labels"]
    counts = judgments.counts
    remarks = [f"Grades: {facts['grades']}."]
    remarks += [f"{name.capitalize()}: {facts[name]}." for name in ("scores", "weights", "negatives") if facts[name]]
    remarks += [f"Left out: {counted(counts[name], 'row')} {what}." for name, what in _LEFT_OUT if counts.get(name)]
    remarks.append("All questions are for training; interank split holds some back for validation and for a test.")
    if not counts["relevance_0"]:
        remarks.append("No pair has grade 0, so training has no negatives; give a corpus, or --negatives.")
    return ImportResult(
        "judgments",
        labels.columns,
        labels.sample,
        counts,
        judgments.notes,
        remarks,
        lambda folder: _write(folder, settings, labels, judgments, remarks),
    )


def _judgments(settings: ImportSettings, labels: Labels) -> _Judgments:
    by_pair: dict[tuple[str, str], list[Label]] = {}
    for label in labels.labels:
        by_pair.setdefault((label.query.query_id, label.document.doc_id), []).append(label)
    chosen = [_one(of_pair) for of_pair in by_pair.values()]
    scale = labels.scale or scale_of((label.value for label in chosen), settings.grades, settings.source)
    grade_values = {0.0, 1.0} if scale.low == scale.high else {0.0, 1.0, 2.0}
    scored = bool(labels.scores) or any(label.value not in grade_values for label in chosen)
    examples: dict[str, list[tuple[Example, Mark | None]]] = {}
    for label in chosen:
        judgment = Judgment(label.explanation, scale.grade(label.value))
        score = label.value if scored else None
        example = Example(label.query, label.document, judgment, None, "train", label.source, score, label.weight)
        examples.setdefault(label.query.query_id, []).append((example, None))
    added = _add_negatives(settings, labels, examples)
    rows = [row for group in examples.values() for row in group]
    listed = [example for example, _ in rows]
    grades = Counter(int(example.judgment.relevance) for example in listed)
    explained = sum(bool(example.judgment.reasoning) for example in listed)
    notes = {
        "grades": settings.kind,
        "labels": {
            "kind": settings.kind,
            "columns": {table: dict(of.of) for table, of in labels.columns.items()},
            "grades": scale.sentence(),
            "scores": (labels.scores or "the label itself") if scored else "",
            "weights": labels.weights,
            "negatives": _negatives_sentence(settings, added),
            "explained": explained,
            **labels.settings,
        },
        "sites": {settings.source: {"judgments": len(listed), "questions": len(examples)}},
        "decontamination": None,
    }
    counts = {
        **labels.counts,
        "judgments": len(listed),
        "questions": len(examples),
        **{f"relevance_{grade}": grades[grade] for grade in (0, 1, 2)},
        "explained": explained,
        "added_negatives": added,
        "repeated_pairs": len(labels.labels) - len(chosen),
    }
    return _Judgments(listed, [mark for _, mark in rows], notes, counts)


def _one(labels: Sequence[Label]) -> Label:
    """One label for a pair that has several: the median, with the explanation of a label of that value."""
    value = agreed([label.value for label in labels])
    equal = [label for label in labels if label.value == value]
    return next((label for label in equal if label.explanation), equal[0])


def _add_negatives(
    settings: ImportSettings, labels: Labels, examples: dict[str, list[tuple[Example, Mark | None]]]
) -> int:
    lacking = [
        group[0][0].query
        for group in examples.values()
        if all(example.judgment.relevance > Relevance.IRRELEVANT for example, _ in group)
    ]
    pool = labels.texts.pool()
    judged = {
        query.query_id: {
            **{example.document.doc_id: example.document for example, _ in examples[query.query_id]},
            **{name: pool[name] for name in labels.barred.get(query.query_id, ()) if name in pool},
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


def _negatives_sentence(settings: ImportSettings, added: int) -> str:
    return (
        f"queries without grade 0 get {added} unjudged documents as grade 0, up to {settings.negatives} each: half of "
        "them by BM25, the others at random by the seed, none nearly the same as a judged one"
        if added
        else ""
    )


def _write(
    folder: Path, settings: ImportSettings, labels: Labels, judgments: _Judgments, remarks: Sequence[str]
) -> None:
    write_judgments(judgments.examples, folder, judgments.marks)
    corpus = labels.texts.corpus
    if corpus is not None:
        write_rows(
            folder / CORPUS_FILE,
            [{"_id": item.doc_id, "title": item.title, "text": item.text} for item in corpus.values()],
        )
    about = [
        f"Labelled pairs of a query and a document ({settings.kind}), imported by interank, without a teacher.",
        *remarks,
    ]
    licences = [example.source.licence for example in judgments.examples]
    files = {"train": PARQUET["train"]}
    save_card(card(settings.source, about, labels.columns, judgments.counts, licences, files), folder)


def shown(label: Label) -> dict[str, Any]:
    """A label as a plain row, for messages."""
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
