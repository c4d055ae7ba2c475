"""Imported questions as an artifact that generate reads as a source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interank.cards import save_card
from interank.errors import InputError
from interank.imports.card import card
from interank.imports.questions import Questions, read_questions
from interank.imports.results import ImportResult, ImportSettings
from interank.ledger import write_rows
from interank.settings import ColumnsRecipe
from interank.tables import Table, find_table, no_table
from interank.wording import counted, listed

FILE = "questions.jsonl"


def import_questions(settings: ImportSettings) -> ImportResult:
    """Read tables of questions.

    Raises:
        InputError: There is no table, a column is missing, or a row cannot be used.
    """
    if settings.parts:
        raise InputError(
            f"{listed(f'{name}=' for name in settings.parts)} was given, and questions have no such parts; give the "
            "tables alone, without these names"
        )
    tables = tables_of(settings.paths)
    found = read_questions(tables, settings.columns, markup=None if settings.text is None else settings.text == "html")
    columns = ColumnsRecipe(text="html" if found.markup else "plain")
    where = ", ".join(table.path.name for table in tables)
    notes = {
        "site": settings.source,
        "columns": columns.model_dump(mode="json"),
        "read": dict(found.columns.of),
    }
    return ImportResult(
        "questions",
        {where: found.columns},
        found.sample,
        dict(found.counts),
        notes,
        _told(found),
        lambda folder: _write(found, folder, settings, where),
    )


def tables_of(paths: Sequence[Path]) -> list[Table]:
    """The tables at these paths.

    Raises:
        InputError: One is none.
    """
    found = []
    for path in paths:
        table = find_table(path)
        if table is None:
            raise InputError(no_table(path))
        found.append(table)
    return found


def _told(found: Questions) -> list[str]:
    told = [f"Texts are read as {'HTML' if found.markup else 'plain text'}; --text says otherwise."]
    if found.prefixed:
        told.append("Answers' ids are other posts' too, so each gets its question's id before it.")
    if number := found.counts["declined_questions"]:
        told.append(
            f"Without an answer that helped: {counted(number, 'question')}, whose answers are all marked as not "
            "accepted and have no votes. generate leaves them out, and split gives their answers grade 0; where the "
            "column says something else, leave it out with --map accepted=."
        )
    elif not found.counts["accepted"] and not found.counts["voted"]:
        told.append("No answer is marked as accepted or voted on: each counts alike, and a teacher has to grade them.")
    for name, what in (("empty_questions", "questions without a text"), ("empty_answers", "answers without a text")):
        if found.counts[name]:
            told.append(f"Left out: {found.counts[name]} {what}.")
    if found.counts["unanswered"]:
        told.append(f"{found.counts['unanswered']} questions have no answer; generate takes those that have one.")
    return told


def _write(found: Questions, folder: Path, settings: ImportSettings, where: str) -> None:
    write_rows(folder / FILE, found.rows)
    licences = [part["licence"] for row in found.rows for part in (row, *row["answers"])]
    about = [
        f"Questions with their answers, imported by interank from {where}; `interank generate ... dumps=THIS FOLDER` "
        "mines pairs from them.",
        *_told(found),
    ]
    counts: dict[str, Any] = dict(found.counts)
    save_card(card(settings.source, about, {where: found.columns}, counts, licences, {"train": FILE}), folder)
