"""Questions and answers from elsewhere than a dump: JSONL, Parquet, or a data set of the Hugging Face hub."""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

from interank import plain_data
from interank.errors import InputError
from interank.ir.benchmarks.rows import rows_of
from interank.mining.rows import BadRowError, Tally
from interank.mining.stackexchange import Post, PostKind
from interank.mining.streams import Table
from interank.mining.threads import Outline
from interank.settings import ColumnsRecipe, MiningRecipe

logger = logging.getLogger(__name__)

_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
# owner/name, as the hub has it.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_BATCH = 1_000
# No id has so many.
_DIGITS = 30


def find_table(path: Path, columns: ColumnsRecipe) -> QuestionTable | None:
    """The table at a path or of that name on the hub; None where the path is something else."""
    if path.is_file():
        suffix = next((suffix for suffix in _SUFFIXES if path.name.endswith(suffix)), None)
        return QuestionTable(path, path.name.removesuffix(suffix), columns) if suffix else None
    if not path.exists() and _HUB_NAME.fullmatch(path.as_posix()):
        return QuestionTable(path, path.name, columns)
    return None


@dataclass(frozen=True, slots=True)
class QuestionTable:
    """Questions with their answers, one row each; `path` is a file or a name on the hub."""

    path: Path
    site: str
    columns: ColumnsRecipe

    def outline(self, settings: MiningRecipe, sites: frozenset[str]) -> tuple[Outline, int]:
        """Every post without its text, and how many rows had to be skipped."""
        outline = Outline()
        tally = Tally()
        for post in self._posts(tally):
            outline.add(post, settings, sites)
        tally.warn(Table(self.path))
        if tally.skipped and not outline.ids:
            raise InputError(
                f"{self.path}: found no row that can be used (line {tally.shown[0][0]}: {tally.shown[0][1]}); "
                "expected questions with answers; name their columns under mining.columns"
            )
        return outline, tally.skipped

    def questions(self) -> Iterator[Post]:
        """Every question with its text, one at a time."""
        return (post for post in self._posts(Tally()) if post.kind == "question")

    def fetch(self, wanted: Collection[int]) -> dict[int, Post]:
        """The posts with these ids."""
        ids = frozenset(wanted)
        found: dict[int, Post] = {}
        for post in self._posts(Tally()) if ids else ():
            if post.post_id in ids:
                found.setdefault(post.post_id, post)
        return found

    def _posts(self, tally: Tally) -> Iterator[Post]:
        number = 0
        for line, row in enumerate(_rows(self.path, tally), start=1):
            if row is None:
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
        question_id = number + 1 if columns.question_id is None else _integer(row, columns.question_id)
        answers = row.get(columns.answers)
        if not isinstance(answers, list):
            raise BadRowError(f"{columns.answers} is {_kind(answers)}, not a list of answers")
        accepted = None
        made = []
        for place, answer in enumerate(answers):
            if not isinstance(answer, Mapping):
                raise BadRowError(f"{columns.answers}[{place}] is {_kind(answer)}, not an object")
            answer_id = number + 2 + place if columns.answer_id is None else _integer(answer, columns.answer_id)
            score = _votes(answer, columns.answer_score)
            made.append(self._post(answer, columns.answer_body, answer_id, "answer", (question_id, None, score)))
            if accepted is None and columns.accepted and _is_true(answer, columns.accepted):
                accepted = answer_id
        facts = (None, accepted, _votes(row, columns.score))
        return [self._post(row, columns.body, question_id, "question", facts), *made]

    def _post(
        self,
        row: Mapping[str, Any],
        body: str,
        post_id: int,
        kind: PostKind,
        facts: tuple[int | None, int | None, int],
    ) -> Post:
        columns = self.columns
        text = _text(row, body)
        tags = row.get(columns.tags) if columns.tags and kind == "question" else None
        parent_id, accepted, score = facts
        return Post(
            site=self.site,
            post_id=post_id,
            kind=kind,
            parent_id=parent_id,
            accepted_answer_id=accepted,
            score=score,
            title=_optional_text(row, columns.title) if kind == "question" else "",
            html=text if columns.text == "html" else _as_html(text),
            tags=tuple(_as_text("a tag", tag) for tag in tags) if isinstance(tags, list) else (),
            author=_optional_text(row, columns.author),
            owner_id="",
            created=_optional_text(row, columns.created),
            licence=_optional_text(row, columns.licence),
            closed=False,
            address=_optional_text(row, columns.url),
        )


def _rows(path: Path, tally: Tally) -> Iterator[Mapping[str, Any] | None]:
    """The rows of a table; None in place of one that cannot be read."""
    if not path.exists():
        yield from _hub_rows(path.as_posix())
    elif path.suffix == ".parquet":
        yield from _parquet_rows(path, tally)
    else:
        yield from json_rows(path, tally)


def json_rows(path: Path, tally: Tally) -> Iterator[Mapping[str, Any] | None]:
    """The objects of a JSONL file, gzipped or not; None in place of a line that holds none, which is counted."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        try:
            for number, line in enumerate(file, start=1):
                row = None
                try:
                    found = plain_data.parsed(line)
                    if not isinstance(found, dict):
                        raise BadRowError(f"a JSON object is expected, {_kind(found)} was found")
                    row = found
                except (ValueError, BadRowError) as fault:
                    if line.strip():
                        tally.skip(number, fault)
                yield row
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            logger.warning("%s: breaks off (%s); what stands before is kept; fetch it again", path, error)


def _parquet_rows(path: Path, tally: Tally) -> Iterator[Mapping[str, Any] | None]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(_BATCH):
            for row in rows_of(batch):
                number += 1
                if isinstance(row, Exception):
                    tally.skip(number, row)
                yield None if isinstance(row, Exception) else row
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: cannot be read as Parquet ({error}); fetch or write it again") from None


def _hub_rows(name: str) -> Iterator[Mapping[str, Any]]:
    import datasets

    try:
        yield from datasets.load_dataset(name, split="train", streaming=True)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(
            f"{name}: found neither a file or folder here nor such a data set on the hub "
            f"({' '.join(str(error).split())}); expected one of them; check the spelling and the connection"
        ) from None


def _as_html(text: str) -> str:
    return "".join(f"<p>{escape(part, quote=False)}</p>" for part in text.split("\n\n")).replace("\n", "<br>")


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise BadRowError(f"{column} is {_kind(value)}, not text")
    return _as_text(column, value)


def _optional_text(row: Mapping[str, Any], column: str | None) -> str:
    """A column's text, a number or a date as text; empty where there is none, which tables also write as NaN."""
    value = row.get(column) if column else None
    return "" if value is None or value != value else _as_text(str(column), value)


def _as_text(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | date):
        raise BadRowError(f"{name} is {_kind(value)}, not text")
    try:
        return plain_data.text(str(value))
    except ValueError as fault:
        raise BadRowError(f"{name}: {fault}") from None


def _is_true(row: Mapping[str, Any], column: str) -> bool:
    """Whether a column says so; NaN, as tables write what is missing, does not."""
    value = row.get(column)
    if value != value:
        return False
    if value not in (None, False, True):
        raise BadRowError(f"{column} is {_kind(value)}, neither true nor false")
    return bool(value)


def _integer(row: Mapping[str, Any], column: str) -> int:
    value = row.get(column)
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < _DIGITS:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 62:
        raise BadRowError(f"{column} is {_kind(value)}, not an integer; null numbers the posts")
    return value


def _votes(row: Mapping[str, Any], column: str | None) -> int:
    return 0 if column is None or row.get(column) is None else _integer(row, column)


def _kind(value: Any) -> str:
    return "missing" if value is None else plain_data.shown(value)
