"""import: tables that people have to artifacts that the stages take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from interank.artifact import Artifact, Existing, create, describe_input
from interank.imports.asked import import_questions
from interank.imports.clicks import read_clicks
from interank.imports.imported import Imported, ImportKind, ImportSettings
from interank.imports.labels import Labels, imported_labels
from interank.imports.pairs import read_pairs, read_qrels_of, read_scores
from interank.imports.triples import read_triples

_READERS: dict[ImportKind, Callable[[ImportSettings], Labels]] = {
    "qrels": read_qrels_of,
    "pairs": read_pairs,
    "triples": read_triples,
    "clicks": read_clicks,
    "scores": read_scores,
}


def look(settings: ImportSettings) -> Imported:
    """Read everything, and write nothing.

    Raises:
        InputError: Something cannot be read as its kind.
    """
    if settings.kind == "questions":
        return import_questions(settings)
    return imported_labels(settings, _READERS[settings.kind])


def run(settings: ImportSettings, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Read everything and write the artifact: `questions`, or `judgments` that are labels."""
    inputs: dict[str, Any] = {}
    for number, path in enumerate(settings.paths):
        # A data set of the hub is no path.
        if path.exists():
            inputs[f"tables.{number}"] = describe_input(path, out)
    inputs |= {name: describe_input(path, out) for name, path in settings.parts.items()}
    found = look(settings)
    place = create(out, found.artifact, recipe=settings.recipe(), inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place
    found.write(place.folder)
    return place.finish(seed=settings.seed, counts=found.counts, notes=found.notes)
