"""import: tables that people have to artifacts that the stages take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from interank.artifact import Artifact, Existing, create
from interank.imports.clicks import read_clicks
from interank.imports.labels import Labels, imported_labels
from interank.imports.pairs import read_pairs, read_qrels_of, read_scores
from interank.imports.question_import import import_questions, tables_of
from interank.imports.results import ImportKind, ImportResult, ImportSettings
from interank.imports.triples import read_triples
from interank.inputs import Form, Input, check_inputs, named_as_they_stand
from interank.stages.inputs import described

_PARTS = {
    "corpus": "a table of documents, with ids and texts",
    "queries": "a table of queries, with ids and texts",
    "qrels": "a file of qrels",
    "run": "a TREC run",
}
_READERS: dict[ImportKind, Callable[[ImportSettings], Labels]] = {
    "qrels": read_qrels_of,
    "pairs": read_pairs,
    "triples": read_triples,
    "clicks": read_clicks,
    "scores": read_scores,
}


def _inputs(settings: ImportSettings) -> list[Input]:
    """What is read; of qrels, which may be a folder, their reader says what is wrong."""
    opened = _unopened if settings.kind == "qrels" else lambda place: tables_of([place])
    found = [Input(f"tables.{number}", path, "a table", opened, "name") for number, path in enumerate(settings.paths)]
    for name, path in settings.parts.items():
        form: Form = "either" if name == "qrels" else "file"
        found.append(Input(name, path, _PARTS[name], _unopened, form))
    return found


def _unopened(_: Path) -> None:
    """It is read whole as what its kind makes of it."""


def look(settings: ImportSettings) -> ImportResult:
    """Read everything, and write nothing.

    Raises:
        InputError: Something cannot be read as its kind.
    """
    check_inputs(_inputs(settings))
    if settings.kind == "questions":
        return import_questions(settings)
    return imported_labels(settings, _READERS[settings.kind])


def run(settings: ImportSettings, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Read everything and write the artifact: `questions`, or `judgments` that are labels."""
    found = look(settings)
    inputs = described(named_as_they_stand(_inputs(settings)), out)
    place = create(out, found.artifact, recipe=settings.recipe(), inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place
    found.write(place.folder)
    return place.finish(seed=settings.seed, counts=found.counts, notes=found.notes)
