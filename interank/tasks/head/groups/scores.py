"""A teacher's scores, by query and document: computed once, kept, and found again by name, never by place."""

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
# A probability of 0 says that it is below what the teacher's numbers can tell.
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """What a teacher gives a pair, and which texts it read."""

    query_id: str
    doc_id: str
    score: float
    texts: str | None = None
    """As `digest` names them; None where the file does not tell."""

    def as_row(self) -> dict[str, Any]:
        """It as a line of `teacher_scores.jsonl`."""
        return {"query_id": self.query_id, "doc_id": self.doc_id, "score": self.score, "texts": self.texts}


def digest(query: Query, document: Document) -> str:
    """Names the texts of a pair."""
    texts = json.dumps([query.text, document.title, document.text])
    return hashlib.sha256(texts.encode()).hexdigest()[:16]


class TeacherScores:
    """Gives a group its scores, each document its own.

    DeAR's code draws the teacher's negatives apart from the student's and compares what stands at the same place, so
    that a document is held to the score of another. Here a score belongs to a pair and to its texts.
    """

    def __init__(self, scored: Iterable[ScoredPair], source: str) -> None:
        """Take the scores, and what messages call the place they come from."""
        self.source = source
        self._scored: dict[tuple[str, str], ScoredPair] = {(item.query_id, item.doc_id): item for item in scored}

    def __len__(self) -> int:
        """How many pairs have one."""
        return len(self._scored)

    def of(self, group: JudgedList) -> tuple[float, ...]:
        """The scores of the group's documents, in its order.

        Raises:
            InputError: A document has none, or its texts are not those that were scored.
        """
        return tuple(self._score(group.query, document) for document in group.documents)

    def _score(self, query: Query, document: Document) -> float:
        found = self._scored.get((query.query_id, document.doc_id))
        if found is None:
            raise InputError(
                f"{self.source} has no score of document {document.doc_id!r} for query {query.query_id!r}; the teacher "
                "has to score the very documents that the student learns from: score them, with the same seed, groups "
                "and negatives, or let the recipe's teacher do it"
            )
        if found.texts is not None and found.texts != digest(query, document):
            raise InputError(
                f"{self.source} scored other texts under the ids of query {query.query_id!r} and document "
                f"{document.doc_id!r}; score the documents that are learned from"
            )
        return found.score


def read_teacher_scores(path: Path) -> TeacherScores:
    """The scores of a `teacher_scores.jsonl`, or of a TREC run.

    Raises:
        InputError: A line holds no finite score of a pair.
    """
    if not path.name.removesuffix(".gz").endswith(".jsonl"):
        scored = read_scored(path).items()
        pairs = [ScoredPair(query_id, doc_id, score) for query_id, found in scored for doc_id, score in found.items()]
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


def judgments_scores(examples: Iterable[Example], source: str) -> TeacherScores:
    """The scores that labels brought along, or those that judgments' probabilities stand for.

    Raises:
        InputError: A judgment has neither, or some have scores and others none.
    """
    told = list(examples)
    if not any(item.score is not None for item in told):
        return TeacherScores([_of_judgment(item, source) for item in told], source)
    return TeacherScores([_of_label(item, source) for item in told], source)


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
            f"{item.document.doc_id!r}, nor scores; take a teacher that tells them, or a model as teacher"
        )
    score = judging.score([math.log(max(p, _LEAST)) for p in item.probabilities])
    return ScoredPair(item.query.query_id, item.document.doc_id, score, digest(item.query, item.document))
