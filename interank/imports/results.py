"""What an import found: its columns, a row as it was read, counts, and the files that it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from interank.tables.columns import Columns

ImportKind = Literal["questions", "qrels", "pairs", "triples", "clicks", "scores"]


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """What an import is told."""

    kind: ImportKind
    paths: Sequence[Path]
    """Tables of one kind, or one folder."""
    parts: Mapping[str, Path] = field(default_factory=dict)
    """Files by what they are: corpus, queries, qrels, run."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Columns by role; an empty name says that there is none."""
    name: str = ""
    """What ids and cards call the source; empty takes the first file's name."""
    text: Literal["html", "plain"] | None = None
    """What questions and answers are written in; None looks."""
    split: str | None = None
    """Which split of a folder's qrels."""
    grades: tuple[float, float] | None = None
    """Labels from the first on are grade 1, from the second on grade 2."""
    negatives: int = 4
    """Documents of grade 0 for a query that has none."""
    propensities: Sequence[float] | None = None
    """How probable it is that a position is looked at, from the first on; None takes 1/position."""
    clip: float = 10.0
    """The most that a click counts for its position."""
    seed: int = 42

    @property
    def source(self) -> str:
        """The name of what is imported."""
        return self.name or self._first.resolve().name.partition(".")[0]

    @property
    def _first(self) -> Path:
        return next(iter([*self.paths, *self.parts.values()]))

    def recipe(self) -> dict[str, Any]:
        """It as the artifact keeps it."""
        return {
            "import": self.kind,
            "tables": [str(path) for path in self.paths],
            "parts": {name: str(path) for name, path in self.parts.items()},
            "map": dict(self.columns),
            "name": self.source,
            "text": self.text,
            "split": self.split,
            "grades": list(self.grades) if self.grades else None,
            "negatives": self.negatives,
            "propensities": list(self.propensities) if self.propensities else None,
            "clip": self.clip,
            "seed": self.seed,
        }


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What was read, before anything is written."""

    artifact: Literal["questions", "judgments"]
    columns: Mapping[str, Columns]
    """By the table that has them."""
    sample: Mapping[str, Any]
    counts: Mapping[str, int]
    notes: Mapping[str, Any]
    told: Sequence[str]
    """What the reader should know, a sentence each."""
    write: Callable[[Path], None]
