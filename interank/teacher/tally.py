"""Counts of judgments, row by row, for card, chart and manifest."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy


class Questions:
    """Counts distinct questions. It keeps eight bytes for each run of consecutive rows with the same question."""

    def __init__(self) -> None:
        self._seen = array("Q")
        self._last = ""

    def add(self, query_id: str) -> None:
        """Count a row's question; a search query counts as the question that it was written for."""
        name = query_id.partition("#")[0]
        if name != self._last:
            self._last = name
            digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
            self._seen.append(int.from_bytes(digest, "big"))

    def __len__(self) -> int:
        return len(numpy.unique(numpy.frombuffer(self._seen, dtype=numpy.uint64))) if self._seen else 0


@dataclass(eq=False)
class Site:
    """Counts of one site's judgments."""

    questions: Questions = field(default_factory=Questions)
    splits: Counter[str] = field(default_factory=Counter)
    grades: Counter[int] = field(default_factory=Counter)


@dataclass(eq=False)
class Tally:
    """Counts of rows of judgments."""

    grades: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By split and grade."""
    licences: Counter[str] = field(default_factory=Counter)
    sites: dict[str, Site] = field(default_factory=lambda: defaultdict(Site))
    questions: Questions = field(default_factory=Questions)
    conflicts: int = 0
    unexplained: int = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row."""
        query_id, split, grade = row["query_id"], row["split"], int(row["relevance"])
        self.grades[split, grade] += 1
        self.licences[row["licence"]] += 1
        self.questions.add(query_id)
        site = self.sites[row["site"]]
        site.questions.add(query_id)
        site.splits[split] += 1
        site.grades[grade] += 1
        self.conflicts += bool(row["conflict"])
        self.unexplained += not row["reasoning"]

    @property
    def judgments(self) -> int:
        """The number of rows."""
        return self.grades.total()

    def of_split(self, split: str) -> int:
        """The number of rows of a split."""
        return sum(number for (name, _), number in self.grades.items() if name == split)

    def counts(self, *, rejected: int, unanswered: int) -> dict[str, int]:
        """The manifest's counts."""
        counts = {"judgments": self.judgments, "rejected": rejected, "questions": len(self.questions)}
        for grade in (0, 1, 2):
            counts[f"relevance_{grade}"] = sum(number for (_, of), number in self.grades.items() if of == grade)
        more = {"conflicts": self.conflicts, "unexplained": self.unexplained, "unanswered": unanswered}
        return counts | more
