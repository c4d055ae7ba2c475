"""Questions and answers from elsewhere than a dump: tables in files, data sets of the hub, and imported ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from interank import tables
from interank.artifact import MANIFEST, open_artifact
from interank.errors import InputError
from interank.mining.rows import BadRowError, Tally
from interank.mining.stackexchange import Post, PostKind
from interank.mining.store import Store
from interank.mining.streams import Table
from interank.settings import ColumnsRecipe
from interank.tables import values
from interank.wording import listed

logger = logging.getLogger(__name__)

QUESTIONS_FILE = "questions.jsonl"
# Posts whose ids are texts are numbered from here on, where no post has its number.
_FIRST = -(1 << 61)
_DIGITS = 18
# So many rows are looked at for their columns.
_LOOKED_AT = 100

Value = TypeVar("Value")


def find_table(path: Path, columns: ColumnsRecipe) -> QuestionTable | None:
    """The questions at a path or of that name on the hub; None where the path is something else."""
    if (path / MANIFEST).is_file():
        # Only imported questions: a table that lies in a folder is named by its file.
        artifact = open_artifact(path, "questions")
        told = ColumnsRecipe.model_validate(artifact.manifest["columns"])
        return QuestionTable(tables.Table(path / QUESTIONS_FILE), str(artifact.manifest["site"]), told)
    table = tables.find_table(path)
    return QuestionTable(table, table.stem, columns) if table else None


@dataclass(frozen=True, slots=True)
class QuestionTable:
    """Questions with their answers, one row each."""

    table: tables.Table
    site: str
    columns: ColumnsRecipe
    names: dict[int, str] = field(default_factory=dict)
    """The ids that are texts, by the numbers that the posts go under here."""
    _numbers: dict[str, int] = field(default_factory=dict)

    def store(self, store: Store) -> tuple[int, int]:
        """Store every post and link; how many rows had to be skipped, and that no post is of another kind.

        Raises:
            InputError: No row can be used.
        """
        tally = Tally()
        store.take_in(store.posts(self._sound(tally)), 0, 0)
        tally.warn(Table(self.table.path))
        return tally.skipped, 0

    def require_posts(self) -> None:
        """Stop where no row can be used.

        Raises:
            InputError: Says what is wrong with the first.
        """
        for _ in self._sound(Tally()):
            pass

    def _sound(self, tally: Tally) -> Iterator[Post]:
        """Every post; where rows had to be skipped there has to be one."""
        found = False
        for post in self.posts(tally):
            found = True
            yield post
        if tally.skipped and not found:
            raise InputError(self._unusable(tally))

    def _unusable(self, tally: Tally) -> str:
        """Why no row could be used: columns that are not there, or what the first row lacks."""
        found = list(dict.fromkeys(str(name) for row in self._first_rows() for name in row))
        needed = ("question_id", "body", "answers")
        lacking = {key: name for key in needed if (name := getattr(self.columns, key)) and name not in found}
        if found and lacking:
            columns = "column" if len(lacking) == 1 else "columns"
            why = f"has no {columns} {listed(lacking.values())}; its columns are {listed(found)}"
        else:
            why = f"has no row that can be used (line {tally.shown[0][0]}: {tally.shown[0][1]})"
        keys = " ".join(f"mining.columns.{key}=COLUMN" for key in lacking or needed)
        unnumbered = (
            " (mining.columns.question_id=null mining.columns.answer_id=null numbers them)"
            if "question_id" in lacking
            else ""
        )
        return (
            f"{self.table.path} {why}. `interank import {self.table.path} --as questions --out DIR` finds columns "
            f"itself: give its output as dumps=DIR, or name the columns with {keys}{unnumbered}"
        )

    def _first_rows(self) -> Iterator[Mapping[str, Any]]:
        rows = (row for _, row in kept_rows(self.table) if not isinstance(row, ValueError))
        return islice(rows, _LOOKED_AT)

    def questions(self) -> Iterator[Post]:
        """Every question with its text, one at a time."""
        return (post for post in self.posts() if post.kind == "question")

    def posts(self, tally: Tally | None = None) -> Iterator[Post]:
        """Every post with its text; rows that cannot be used are counted."""
        tally = tally if tally is not None else Tally()
        number = 0
        for line, row in kept_rows(self.table):
            if isinstance(row, ValueError):
                tally.skip(line, row)
                continue
            try:
                posts = self._thread(row, number)
            except BadRowError as fault:
                tally.skip(line, fault)
                continue
            number += len(posts)
            yield from posts

    def _thread(self, row: Mapping[str, Any], number: int) -> list[Post]:
        columns = self.columns
        name = str(number + 1) if columns.question_id is None else _required(row, columns.question_id)
        question_id = self._number(name)
        accepted = None
        made = []
        for place, answer in enumerate(_answers(row, columns), start=1):
            numbered = columns.answer_id is None
            given = None if columns.answer_id is None else _read(answer, columns.answer_id, values.identifier)
            own = str(number + 1 + place) if numbered else given if given is not None else f"{name}#{place}"
            answer_id = self._number(own)
            score = _votes(answer, columns.answer_score)
            post = self._post(answer, columns.answer_body, answer_id, "answer", question_id, None, score)
            made.append(replace(post, accepted=_read(answer, columns.accepted, values.truth)))
            if accepted is None and made[-1].accepted:
                accepted = answer_id
        score = _votes(row, columns.score)
        question = self._post(row, columns.body, question_id, "question", None, accepted, score)
        if not (question.title.strip() or question.html.strip()):
            raise BadRowError("the question has neither a title nor a body")
        return [question, *made]

    def _number(self, name: str) -> int:
        """The number that stands for an id: its own, or the next one where it is a text."""
        if name.isdecimal() and len(name) <= _DIGITS and name == str(int(name)):
            return int(name)
        number = self._numbers.setdefault(name, _FIRST + len(self._numbers))
        self.names[number] = name
        return number

    def _post(
        self,
        row: Mapping[str, Any],
        body: str,
        post_id: int,
        kind: PostKind,
        parent_id: int | None,
        accepted: int | None,
        score: int,
    ) -> Post:
        columns = self.columns
        text = _read(row, body, values.text)
        if text is None and (kind == "answer" or columns.title is None or _text(row, columns.title) == ""):
            raise BadRowError(f"{body} is missing, not text")
        return Post(
            site=self.site,
            post_id=post_id,
            kind=kind,
            parent_id=parent_id,
            accepted_answer_id=accepted,
            score=score,
            title=_text(row, columns.title) if kind == "question" else "",
            html=(text or "") if columns.text == "html" else _as_html(text or ""),
            tags=(_read(row, columns.tags, values.tags) or ()) if kind == "question" else (),
            author=_text(row, columns.author),
            owner_id="",
            created=_text(row, columns.created),
            licence=_text(row, columns.licence),
            closed=False,
            address=_text(row, columns.url),
        )


def kept_rows(table: tables.Table) -> Iterator[tables.Row]:
    """The rows of a table; of one that breaks off, those before."""
    try:
        yield from table.rows()
    except tables.CutShortError as error:
        logger.warning("%s; what stands before is kept", error)


def _answers(row: Mapping[str, Any], columns: ColumnsRecipe) -> Iterator[Mapping[str, Any]]:
    """The answers of a row: a list of objects or texts, or the text of one."""
    found = row.get(columns.answers)
    if values.is_missing(found):
        raise BadRowError(f"{columns.answers} is missing, not answers")
    try:
        listed = values.listed(found)
    except ValueError as fault:
        raise BadRowError(f"{columns.answers}: {fault}") from None
    for place, answer in enumerate([found] if listed is None else listed):
        if not isinstance(answer, Mapping | str):
            raise BadRowError(f"{columns.answers}[{place}] is {answer!r}, where an object or a text is needed")
        yield {columns.answer_body: answer} if isinstance(answer, str) else answer


def _as_html(text: str) -> str:
    return "".join(f"<p>{escape(part, quote=False)}</p>" for part in text.split("\n\n")).replace("\n", "<br>")


def _read(row: Mapping[str, Any], column: str | None, read: Callable[[Any], Value]) -> Value | None:
    """What a column says; None where it says nothing."""
    value = row.get(column) if column else None
    if values.is_missing(value):
        return None
    try:
        return read(value)
    except ValueError as fault:
        raise BadRowError(f"{column}: {fault}") from None


def _required(row: Mapping[str, Any], column: str) -> str:
    found = _read(row, column, values.identifier)
    if found is None:
        raise BadRowError(f"{column} is missing")
    return found


def _text(row: Mapping[str, Any], column: str | None) -> str:
    return _read(row, column, values.text) or ""


def _votes(row: Mapping[str, Any], column: str | None) -> int:
    return _read(row, column, values.votes) or 0
