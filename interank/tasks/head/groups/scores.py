"""A teacher's scores by query and document: computed once, stored, and looked up by id, never by place."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank import judging, plain_data
from interank.errors import InputError
from interank.ir.benchmarks.rows import json_rows, string, value
from interank.ir.trec import read_scored
from interank.judgments import JudgedList
from interank.types import Document, Example, Query

FILE = "teacher_scores.jsonl"
# Stands in for a probability of 0: a small one that the teacher's numbers are too coarse to show.
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """A teacher's score of a pair, with the digest of the texts that it read."""

    query_id: str
    doc_id: str
    score: float
    texts: str | None = None
    """The `digest` of the texts; None where the file has none."""

    def as_row(self) -> dict[str, Any]:
        """The pair as a line of `teacher_scores.jsonl`."""
        return {"query_id": self.query_id, "doc_id": self.doc_id, "score": self.score, "texts": self.texts}


def digest(query: Query, document: Document) -> str:
    """A hash of the texts of a pair."""
    texts = json.dumps([query.text, document.title, document.text])
    return hashlib.sha256(texts.encode()).hexdigest()[:16]


class TeacherScores:
    """The scores of a teacher, looked up for each document of a group.

    DeAR's code draws the teacher's negatives apart from the student's and compares by place, so that a document is
    trained on the score of another. Here a score belongs to a pair and its texts.
    """

    def __init__(self, scored: Iterable[ScoredPair], source: str) -> None:
        """Take the scores, and the name of their source for messages."""
        self.source = source
        self._scored: dict[tuple[str, str], ScoredPair] = {(item.query_id, item.doc_id): item for item in scored}

    def __len__(self) -> int:
        """The number of scored pairs."""
        return len(self._scored)

    def of(self, group: JudgedList) -> tuple[float, ...]:
        """The scores of the group's documents, in its order.

        Raises:
            InputError: A document has no score, or other texts were scored under its id.
        """
        return tuple(self._score(group.query, document) for document in group.documents)

    def _score(self, query: Query, document: Document) -> float:
        pair = self._scored.get((query.query_id, document.doc_id))
        if pair is None:
            raise InputError(
                f"{self.source} has no score of document {document.doc_id!r} for query {query.query_id!r}; the teacher "
                "has to score the very documents that the student learns from: score them, with the same seed, groups "
                "and negatives, or let the recipe's teacher do it"
            )
        if pair.texts is not None and pair.texts != digest(query, document):
            raise InputError(
                f"{self.source} scored other texts under the ids of query {query.query_id!r} and document "
                f"{document.doc_id!r}; score the documents that are learned from"
            )
        return pair.score


def read_teacher_scores(path: Path) -> TeacherScores:
    """The scores of a `teacher_scores.jsonl`, or of a TREC run.

    Raises:
        InputError: A line holds no finite score of a pair.
    """
    if not path.name.removesuffix(".gz").endswith(".jsonl"):
        scored = read_scored(path).items()
        pairs = [ScoredPair(query_id, doc_id, score) for query_id, scores in scored for doc_id, score in scores.items()]
        return TeacherScores(pairs, str(path))
    return TeacherScores([scored_pair(where, row) for where, row in json_rows(path)], str(path))


def scored_pair(where: str, row: object) -> ScoredPair:
    """A line of `teacher_scores.jsonl`."""
    try:
        score = plain_data.finite(value(where, row, ("score",)))
    except ValueError as error:
        raise InputError(f"{where}: the score: {error}; mend the line") from None
    texts = row.get("texts") if isinstance(row, Mapping) else None
    names = (string(where, row, ("query_id",)), string(where, row, ("doc_id",)))
    return ScoredPair(*names, score, None if texts is None else str(texts))


def judgments_scores(items: Iterable[Example], source: str, *, labelled: bool) -> TeacherScores:
    """The scores of labels, or those computed from judgments' probabilities.

    Args:
        items: The judgments.
        source: The name of their source for messages.
        labelled: Whether any judgment of the source has a score.

    Raises:
        InputError: A label has no score, or a judgment no probabilities.
    """
    scored = _of_label if labelled else _of_judgment
    return TeacherScores((scored(item, source) for item in items), source)


def _of_label(item: Example, source: str) -> ScoredPair:
    if item.score is None:
        raise InputError(
            f"{source} holds scores, and none for query {item.query.query_id!r} and document {item.document.doc_id!r}; "
            "leave out what has none, or take a model as teacher"
        )
    return ScoredPair(item.query.query_id, item.document.doc_id, item.score, digest(item.query, item.document))


def _of_judgment(item: Example, source: str) -> ScoredPair:
    if item.probabilities is None:
        raise InputError(
            f"{source} holds no probabilities for query {item.query.query_id!r} and document "
            f"{item.document.doc_id!r}, nor scores; take a teacher that gives them, or a model as teacher"
        )
    score = judging.score([math.log(max(p, _LEAST)) for p in item.probabilities])
    return ScoredPair(item.query.query_id, item.document.doc_id, score, digest(item.query, item.document))
