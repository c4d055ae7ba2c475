"""The settings of an import, and its result: columns, a sample row, counts, and the function that writes the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from interank.tables.columns import Columns

ImportKind = Literal["questions", "qrels", "pairs", "triples", "clicks", "scores"]


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """The options of an import."""

    kind: ImportKind
    paths: Sequence[Path]
    """Tables of one kind, or one folder."""
    parts: Mapping[str, Path] = field(default_factory=dict)
    """Files by their role: corpus, queries, qrels, run."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Columns by role; an empty name means that there is none."""
    name: str = ""
    """The name of the source in ids and cards; empty for the first file's name."""
    text: Literal["html", "plain"] | None = None
    """The format of questions and answers; None detects it."""
    split: str | None = None
    """The split of a folder's qrels."""
    grades: tuple[float, float] | None = None
    """The least labels of grade 1 and of grade 2."""
    negatives: int = 4
    """Documents of grade 0 to add for a query that has none."""
    propensities: Sequence[float] | None = None
    """The probability that each position is examined, from the first on; None for 1/position."""
    clip: float = 10.0
    """The largest weight of a click for its position."""
    seed: int = 42

    @property
    def source(self) -> str:
        """The name of the source."""
        return self.name or self._first.resolve().name.partition(".")[0]

    @property
    def _first(self) -> Path:
        return next(iter([*self.paths, *self.parts.values()]))

    def recipe(self) -> dict[str, Any]:
        """The settings as plain data, for the artifact's recipe."""
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
    """The result of reading, before anything is written."""

    artifact: Literal["questions", "judgments"]
    columns: Mapping[str, Columns]
    """The columns of each table, by the table's name."""
    sample: Mapping[str, Any]
    counts: Mapping[str, int]
    notes: Mapping[str, Any]
    told: Sequence[str]
    """Remarks for the user, a sentence each."""
    write: Callable[[Path], None]
