"""The Parquet files of a site's posts, links and users, from which all later steps of mining read."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from interank.ir.bm25.scripts import count_words
from interank.mining.rows import BadRowError, Row, Tally
from interank.mining.stackexchange import Link, Post, link_from, links_in, post_from
from interank.mining.text import plain_text
from interank.settings import MiningRecipe

POSTS = pa.schema(
    [
        *(("site", pa.int32()), ("post_id", pa.int64()), ("question", pa.bool_()), ("other", pa.int64())),
        *(("score", pa.int64()), ("fits", pa.bool_()), ("declined", pa.bool_()), ("title", pa.string())),
        *(("html", pa.string()), ("author", pa.string()), ("owner", pa.string()), ("licence", pa.string())),
        ("url", pa.string()),
    ]
)
"""`other` is the accepted answer of a question, or the question of an answer. `fits` says whether a question may be
taken, or an answer be a document. `declined` says whether an answer is marked as not accepted and has no votes."""
LINKS = pa.schema(
    [
        *(("site", pa.int32()), ("post_id", pa.int64()), ("related_site", pa.int32())),
        *(("related_id", pa.int64()), ("duplicate", pa.bool_())),
    ]
)
USERS = pa.schema([("site", pa.int32()), ("owner", pa.string()), ("name", pa.string())])

# Rows in a row group: larger groups with bodies are slower to read and take more memory.
_GROUP = 4096


class Writer:
    """Writes single rows to a Parquet file, in row groups."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._file = pq.ParquetWriter(path, schema, compression="zstd", compression_level=1)
        self._rows: list[tuple[Any, ...]] = []

    def add(self, *row: Any) -> None:
        """Add a row, its values in the order of the schema."""
        self._rows.append(row)
        if len(self._rows) == _GROUP:
            self._write()

    def _write(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
            self._file.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
            self._rows = []

    def __enter__(self) -> Writer:
        """Return the writer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Finish the file."""
        if kind is None:
            self._write()
        self._file.close()


class Part(NamedTuple):
    """The files written from a part of a table, and the number of its posts of other kinds."""

    files: Mapping[str, Path]
    other_posts: int = 0


@dataclass(frozen=True, slots=True)
class Store:
    """Writes a site's posts, links and users to Parquet files."""

    folder: Path
    site: str
    numbers: Mapping[str, int]
    """The numbers of the sites of the run, by name."""
    settings: MiningRecipe

    def posts(self, posts: Iterable[Post | None]) -> Part:
        """Write posts and the links in them; None in `posts` is a post of another kind."""
        number = self.numbers[self.site]
        others = 0
        files = {"posts": self._new(), "links": self._new()}
        with Writer(files["posts"], POSTS) as rows, Writer(files["links"], LINKS) as links:
            for post in posts:
                if post is None:
                    others += 1
                    continue
                question = post.kind == "question"
                other = post.accepted_answer_id if question else post.parent_id
                fits = _may_be_taken(post, self.settings) if question else _is_long_enough(post, self.settings)
                texts = post.title, post.html, post.author, post.owner_id, post.licence, post.url
                rows.add(number, post.post_id, question, other, post.score, fits, post.declined, *texts)
                for link in links_in(post.html, post.post_id, self.numbers, self.site):
                    self._add(links, link)
        return Part(files, others)

    def links(self, links: Iterable[Link]) -> Part:
        """Write links."""
        path = self._new()
        with Writer(path, LINKS) as rows:
            for link in links:
                self._add(rows, link)
        return Part({"links": path})

    def users(self, users: Iterable[tuple[str, str]]) -> Part:
        """Write users' ids and names."""
        path = self._new()
        with Writer(path, USERS) as rows:
            for owner, name in users:
                rows.add(self.numbers[self.site], owner, name)
        return Part({"users": path})

    def take_in(self, part: Part, table: int, place: int) -> None:
        """Rename a part's files to their final names, which sort by table and part."""
        for kind, path in part.files.items():
            path.rename(self.folder / f"{kind}-{self.numbers[self.site]:05}-{table}-{place:08}.parquet")

    def _add(self, rows: Writer, link: Link) -> None:
        number = self.numbers[self.site]
        related = self.numbers[link.site] if link.site else number
        rows.add(number, link.post_id, related, link.related_id, link.duplicate)

    def _new(self) -> Path:
        return self.folder / f".{uuid.uuid4().hex}.parquet"


@dataclass(frozen=True, slots=True)
class StoreRows:
    """Stores the rows of a part of a dump's table."""

    store: Store
    table: str

    def __call__(self, rows: Iterator[Row], tally: Tally) -> Part:
        """Store the rows; unusable ones are skipped and counted."""
        if self.table == "Posts":
            return self.store.posts(self._posts(rows, tally))
        if self.table == "Users":
            return self.store.users(
                (row.attributes.get("Id", ""), row.attributes.get("DisplayName", "")) for row in rows
            )
        return self.store.links(self._links(rows, tally))

    def _posts(self, rows: Iterator[Row], tally: Tally) -> Iterator[Post | None]:
        for row in rows:
            try:
                yield post_from(row, self.store.site)
            except BadRowError as fault:
                tally.skip(row.line, fault)

    def _links(self, rows: Iterator[Row], tally: Tally) -> Iterator[Link]:
        for row in rows:
            try:
                if self.table == "Comments":
                    text, post_id = row.text("Text"), row.integer("PostId")
                    yield from links_in(text, post_id, self.store.numbers, self.store.site)
                elif (link := link_from(row)) is not None:
                    yield link
            except BadRowError as fault:
                tally.skip(row.line, fault)


def no_users(folder: Path) -> None:
    """Write an empty file of users, for sites without one."""
    with Writer(folder / "users-none.parquet", USERS):
        pass


def questions_in(folder: Path, site: int) -> Iterator[tuple[int, str, str, str]]:
    """The id, title, body and address of every stored question of a site, in the dump's order."""
    columns = ["question", "post_id", "title", "html", "url"]
    for path in sorted(folder.glob(f"posts-{site:05}-*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_GROUP, columns=columns):
                for is_question, *rest in zip(*(batch.column(name).to_pylist() for name in columns), strict=True):
                    if is_question:
                        post_id, title, html, url = rest
                        yield post_id, title, html, url


def _may_be_taken(question: Post, settings: MiningRecipe) -> bool:
    if question.score < settings.min_question_score or (question.closed and not settings.include_closed):
        return False
    tags = {*question.tags}
    if (settings.tags and not tags & {*settings.tags}) or tags & {*settings.exclude_tags}:
        return False
    if settings.min_question_words or settings.max_question_words is not None:
        words = count_words(plain_text(question.html))
        return settings.min_question_words <= words and words <= (settings.max_question_words or words)
    return True


def _is_long_enough(answer: Post, settings: MiningRecipe) -> bool:
    return count_words(plain_text(answer.html)) >= settings.min_document_words
