"""Questions and answers from other sources than dumps: table files, data sets of the hub, and imported questions."""

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
# The first number for posts whose ids are texts; no post has such a number as its own id.
_FIRST = -(1 << 61)
_DIGITS = 18
# Rows that are read to list a table's columns.
_LOOKED_AT = 100

Value = TypeVar("Value")


def find_table(path: Path, columns: ColumnsRecipe) -> QuestionTable | None:
    """The table of questions at a path, or with that name on the hub; None if the path is something else."""
    if (path / MANIFEST).is_file():
        # Only a folder of imported questions counts as a table; other tables are named by their file.
        artifact = open_artifact(path, "questions")
        own = ColumnsRecipe.model_validate(artifact.manifest["columns"])
        return QuestionTable(tables.Table(path / QUESTIONS_FILE), str(artifact.manifest["site"]), own)
    table = tables.find_table(path)
    return QuestionTable(table, table.stem, columns) if table else None


@dataclass(frozen=True, slots=True)
class QuestionTable:
    """A table with a question and its answers in each row."""

    table: tables.Table
    site: str
    columns: ColumnsRecipe
    names: dict[int, str] = field(default_factory=dict)
    """The original ids that are texts, by their internal numbers."""
    _numbers: dict[str, int] = field(default_factory=dict)

    def store(self, store: Store) -> tuple[int, int]:
        """Store every post and link; return the number of skipped rows, and 0: a table has no posts of other kinds.

        Raises:
            InputError: No row can be used.
        """
        tally = Tally()
        store.take_in(store.posts(self._usable(tally)), 0, 0)
        tally.warn(Table(self.table.path))
        return tally.skipped, 0

    def require_posts(self) -> None:
        """Refuse a table whose rows are all unusable.

        Raises:
            InputError: No row can be used; the message has the first row's fault.
        """
        for _ in self._usable(Tally()):
            pass

    def _usable(self, tally: Tally) -> Iterator[Post]:
        """Every post; an error at the end if rows were skipped and none was used."""
        has_posts = False
        for post in self.posts(tally):
            has_posts = True
            yield post
        if tally.skipped and not has_posts:
            raise InputError(self._unusable(tally))

    def _unusable(self, tally: Tally) -> str:
        """The message that no row can be used: missing columns, or the first row's fault."""
        names = list(dict.fromkeys(str(name) for row in self._first_rows() for name in row))
        needed = ("question_id", "body", "answers")
        lacking = {key: name for key in needed if (name := getattr(self.columns, key)) and name not in names}
        if names and lacking:
            columns = "column" if len(lacking) == 1 else "columns"
            why = f"has no {columns} {listed(lacking.values())}; its columns are {listed(names)}"
        else:
            why = f"has no row that can be used (line {tally.shown[0][0]}: {tally.shown[0][1]})"
        keys = " ".join(f"mining.columns.{key}=COLUMN" for key in lacking or needed)
        unnumbered = (
            " (mining.columns.question_id=null mining.columns.answer_id=null numbers them)"
            if "question_id" in lacking
            else ""
        )
        return (
            f"{self.table.path} {why}. `interank import {self.table.path} --as questions --out DIR` finds the columns "
            f"by itself: give its output as dumps=DIR, or name the columns with {keys}{unnumbered}"
        )

    def _first_rows(self) -> Iterator[Mapping[str, Any]]:
        rows = (row for _, row in kept_rows(self.table) if not isinstance(row, ValueError))
        return islice(rows, _LOOKED_AT)

    def questions(self) -> Iterator[Post]:
        """Every question with its text, streamed."""
        return (post for post in self.posts() if post.kind == "question")

    def posts(self, tally: Tally | None = None) -> Iterator[Post]:
        """Every post with its text, streamed; unusable rows are skipped and counted."""
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
        posts = []
        for place, answer in enumerate(_answers(row, columns), start=1):
            numbered = columns.answer_id is None
            own_id = None if columns.answer_id is None else _read(answer, columns.answer_id, values.identifier)
            answer_name = str(number + 1 + place) if numbered else own_id if own_id is not None else f"{name}#{place}"
            answer_id = self._number(answer_name)
            score = _votes(answer, columns.answer_score)
            post = self._post(answer, columns.answer_body, answer_id, "answer", question_id, None, score)
            posts.append(replace(post, accepted=_read(answer, columns.accepted, values.truth)))
            if accepted is None and posts[-1].accepted:
                accepted = answer_id
        score = _votes(row, columns.score)
        question = self._post(row, columns.body, question_id, "question", None, accepted, score)
        if not (question.title.strip() or question.html.strip()):
            raise BadRowError("the question has neither a title nor a body")
        return [question, *posts]

    def _number(self, name: str) -> int:
        """The internal number of an id: the id itself if it is a number, else the next free one."""
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
            raise BadRowError(f"{body} is missing, where a text is needed")
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
    """The rows of a table; if it breaks off, the rows before, with a warning."""
    try:
        yield from table.rows()
    except tables.CutShortError as error:
        logger.warning("%s; the rows before are used", error)


def _answers(row: Mapping[str, Any], columns: ColumnsRecipe) -> Iterator[Mapping[str, Any]]:
    """The answers of a row, which its cell holds as a list of objects or texts, or as a single text."""
    cell = row.get(columns.answers)
    if values.is_missing(cell):
        raise BadRowError(f"{columns.answers} is missing, where answers are needed")
    try:
        listed = values.listed(cell)
    except ValueError as fault:
        raise BadRowError(f"{columns.answers}: {fault}") from None
    for place, answer in enumerate([cell] if listed is None else listed):
        if not isinstance(answer, Mapping | str):
            raise BadRowError(f"{columns.answers}[{place}] is {answer!r}, where an object or a text is needed")
        yield {columns.answer_body: answer} if isinstance(answer, str) else answer


def _as_html(text: str) -> str:
    return "".join(f"<p>{escape(part, quote=False)}</p>" for part in text.split("\n\n")).replace("\n", "<br>")


def _read(row: Mapping[str, Any], column: str | None, read: Callable[[Any], Value]) -> Value | None:
    """The value of a column, converted by `read`; None if it is missing."""
    value = row.get(column) if column else None
    if values.is_missing(value):
        return None
    try:
        return read(value)
    except ValueError as fault:
        raise BadRowError(f"{column}: {fault}") from None


def _required(row: Mapping[str, Any], column: str) -> str:
    name = _read(row, column, values.identifier)
    if name is None:
        raise BadRowError(f"{column} is missing")
    return name


def _text(row: Mapping[str, Any], column: str | None) -> str:
    return _read(row, column, values.text) or ""


def _votes(row: Mapping[str, Any], column: str | None) -> int:
    return _read(row, column, values.votes) or 0
