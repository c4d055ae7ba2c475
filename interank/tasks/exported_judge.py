"""Rankers of what `interank export` wrote, so that an export can be compared with its judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from interank import judging
from interank.artifact import MANIFEST
from interank.engines.export_engine import ExportEngine
from interank.engines.models import PEFT, find_model
from interank.engines.soundness import require_scores
from interank.engines.weights import ONNX
from interank.errors import InputError
from interank.modes import Guard
from interank.resources import expanded
from interank.tasks.documents import naming, warn_unread
from interank.tasks.judge.forms import read_form
from interank.tasks.ranker_settings import RankerSettings
from interank.tasks.ranks import OneModel, Ranking, Scores
from interank.types import Document, Query, RankedDocument


class ExportedJudge(Scores):
    """A reranker by an export's grades, or by its score where it has no grades."""

    engine: ExportEngine
    kind = "an exported judge"

    def __init__(self, engine: ExportEngine) -> None:
        self.engine = engine

    def query_cut(self, query: Query) -> int:
        """See `Scores`; an export refuses a query that is too long."""
        return 0

    def scored(self, query: Query, documents: Sequence[Document]) -> Ranking:
        """See `Scores`."""
        warn_unread(query, self.kind)
        with naming(query, documents):
            pairs = [self.engine.pair(query.text, document.full_text) for document in documents]
            read = self.engine.read(pairs)
            require_scores([number for numbers in read for number in numbers])
        return [
            _ranked(document.doc_id, numbers, pair.cut)
            for document, numbers, pair in zip(documents, read, pairs, strict=True)
        ]

    @property
    def can_explain(self) -> bool:
        """See `OneModel`."""
        return False

    def explains(self, count: int | None) -> int:
        """0, since an export explains nothing.

        Raises:
            InputError: An explanation is asked for.
        """
        if count:
            raise InputError(f"{self.kind} grades without explaining; set explain to 0, or take the judge itself")
        return 0

    def guarded(self, guard: Guard) -> OneModel:
        """See `OneModel`.

        Raises:
            InputError: A guard is asked for.
        """
        if guard == "none":
            return self
        raise InputError(
            f"guard {guard} needs more of a model than its grades, and {self.kind} has no more; take the judge itself"
        )


def takes(settings: RankerSettings) -> bool:
    """True where the model is, by its files, the export of a judge."""
    return settings.loaded is None and exported_folder(str(settings.model)) is not None


def exported_folder(source: str) -> Path | None:
    """The folder of an export, on this disk or from the hub; None for any other model.

    Raises:
        ArtifactError: The description of the export cannot be read.
        ModelError: The model is not available.
    """
    path = expanded(source)
    if (path / MANIFEST).is_file() or (path / PEFT).is_file():
        return None
    folder = find_model(source).folder
    return folder if read_form(folder) is not None else None


def open_ranker(settings: RankerSettings) -> ExportedJudge:
    """The export, in float32.

    Raises:
        InputError: Another mode, engine or precision is asked for.
    """
    name = str(settings.model)
    if settings.mode != "score":
        raise InputError(f"{name} is an export, which can only grade; use mode score, or the judge itself")
    if settings.engine != "transformers" or settings.precision != "exact":
        raise InputError(
            f"{name} is an export, which runs as it is stored; leave engine {settings.engine} and precision "
            f"{settings.precision} out"
        )
    folder = exported_folder(name)
    assert folder is not None
    export = read_form(folder)
    return ExportedJudge(ExportEngine(folder, ONNX if export is not None and export.to == "onnx" else None))


def _ranked(doc_id: str, numbers: tuple[float, ...], cut: int) -> RankedDocument:
    """A document with the export's score and grades; an export does not give the labels' mass."""
    if len(numbers) == 1:
        return RankedDocument(doc_id, numbers[0], truncated=cut)
    first, second, third = numbers
    logits = (first, second, third)
    return RankedDocument(
        doc_id,
        judging.score(logits),
        judging.most_probable(logits),
        judging.probabilities(logits),
        truncated=cut,
    )
