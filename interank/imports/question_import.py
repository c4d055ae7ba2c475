"""The import of questions, as an artifact that `interank generate` mines pairs from."""

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
    """Read tables of questions, to be written as an artifact.

    Raises:
        InputError: There is no table, a column is missing, or a row cannot be used.
    """
    if settings.parts:
        raise InputError(
            f"{listed(f'{name}=' for name in settings.parts)} was given, and questions have no such parts; give only "
            "the tables, without these names"
        )
    tables = tables_of(settings.paths)
    questions = read_questions(
        tables, settings.columns, markup=None if settings.text is None else settings.text == "html"
    )
    columns = ColumnsRecipe(text="html" if questions.markup else "plain")
    where = ", ".join(table.path.name for table in tables)
    notes = {
        "site": settings.source,
        "columns": columns.model_dump(mode="json"),
        "read": dict(questions.columns.of),
    }
    return ImportResult(
        "questions",
        {where: questions.columns},
        questions.sample,
        dict(questions.counts),
        notes,
        _remarks(questions),
        lambda folder: _write(questions, folder, settings, where),
    )


def tables_of(paths: Sequence[Path]) -> list[Table]:
    """Find the tables at these paths.

    Raises:
        InputError: A path is no table.
    """
    tables = []
    for path in paths:
        table = find_table(path)
        if table is None:
            raise InputError(no_table(path))
        tables.append(table)
    return tables


def _remarks(questions: Questions) -> list[str]:
    counts = questions.counts
    remarks = [f"Texts are read as {'HTML' if questions.markup else 'plain text'}; change that with --text."]
    if questions.prefixed:
        remarks.append(
            "Some answers' ids are also those of other posts, so each answer's id begins with its question's."
        )
    if number := counts["declined_questions"]:
        remarks.append(
            f"Without an answer that helped: {counted(number, 'question')}, whose answers are all marked as not "
            "accepted and have no votes. generate leaves them out, and split gives their answers grade 0; if the "
            "column means something else, leave it out with --map accepted=."
        )
    elif not counts["accepted"] and not counts["voted"]:
        remarks.append("No answer is accepted or has votes: all count the same, and a teacher has to grade them.")
    for name, what in (("empty_questions", "questions without a text"), ("empty_answers", "answers without a text")):
        if counts[name]:
            remarks.append(f"Left out: {counts[name]} {what}.")
    if counts["unanswered"]:
        remarks.append(f"{counts['unanswered']} questions have no answer; generate uses those that have one.")
    return remarks


def _write(questions: Questions, folder: Path, settings: ImportSettings, where: str) -> None:
    write_rows(folder / FILE, questions.rows)
    licences = [part["licence"] for row in questions.rows for part in (row, *row["answers"])]
    about = [
        f"Questions with their answers, imported by interank from {where}; `interank generate ... dumps=THIS FOLDER` "
        "mines pairs from them.",
        *_remarks(questions),
    ]
    counts: dict[str, Any] = dict(questions.counts)
    save_card(card(settings.source, about, {where: questions.columns}, counts, licences, {"train": FILE}), folder)
