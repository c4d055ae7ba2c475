"""import: makes artifacts for the stages from users' own tables."""

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
    """The inputs; qrels, which may be a folder, are checked by their reader."""
    opened = _unopened if settings.kind == "qrels" else lambda place: tables_of([place])
    inputs = [Input(f"tables.{number}", path, "a table", opened, "name") for number, path in enumerate(settings.paths)]
    for name, path in settings.parts.items():
        form: Form = "either" if name == "qrels" else "file"
        inputs.append(Input(name, path, _PARTS[name], _unopened, form))
    return inputs


def _unopened(_: Path) -> None:
    """Check nothing: the reader of its kind reads and checks the whole table later."""


def look(settings: ImportSettings) -> ImportResult:
    """Read all tables and write nothing.

    Raises:
        InputError: A table cannot be read as its kind.
    """
    check_inputs(_inputs(settings))
    if settings.kind == "questions":
        return import_questions(settings)
    return imported_labels(settings, _READERS[settings.kind])


def run(settings: ImportSettings, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Read all tables and write the artifact: `questions`, or `judgments` made of labels."""
    result = look(settings)
    inputs = described(named_as_they_stand(_inputs(settings)), out)
    place = create(out, result.artifact, recipe=settings.recipe(), inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place
    result.write(place.folder)
    return place.finish(seed=settings.seed, counts=result.counts, notes=result.notes)
