"""Reads StackExchange dumps, the XML that archive.org carries: posts, links between them, threads.

Readers keep what can be read and say what could not: a bad row is counted and named by its line, a file that
breaks off gives what stood before the break.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from interank.errors import InputError
from interank.mining.rows import BadRowError, Row, Tally, find_table, read_rows

logger = logging.getLogger(__name__)

PostKind = Literal["question", "answer"]

_POSTS = "Posts.xml"
_KINDS: Mapping[int, PostKind] = {1: "question", 2: "answer"}
# https://meta.stackexchange.com/questions/2677: 1 linked, 3 duplicate.
_LINK_TYPES = {1: False, 3: True}
# https://stackoverflow.com/help/licensing: posts from before the date have the licence beside it.
_LICENCES = (("2011-04-08", "CC BY-SA 2.5"), ("2018-05-02", "CC BY-SA 3.0"))
_LATEST_LICENCE = "CC BY-SA 4.0"

# "<a><b>" in dumps up to 2023, "|a|b|" since.
_TAG = re.compile("[^<>|]+")


@dataclass(frozen=True, slots=True)
class Post:
    """A question or an answer; `html` is its body."""

    site: str
    post_id: int
    kind: PostKind
    parent_id: int | None
    accepted_answer_id: int | None
    score: int
    title: str
    html: str
    tags: tuple[str, ...]
    author: str
    created: str
    licence: str
    closed: bool

    @property
    def url(self) -> str:
        """Where the post can be read."""
        return f"https://{self.site}/{'questions' if self.kind == 'question' else 'a'}/{self.post_id}"


class Link(NamedTuple):
    """One question's reference to another; a duplicate asks the same."""

    post_id: int
    related_id: int
    duplicate: bool


class Thread(NamedTuple):
    """A question and its answers, in the order of the dump."""

    question: Post
    answers: tuple[Post, ...]


@dataclass(slots=True)
class Counts:
    """What the readers of one dump met; adds up while they are consumed."""

    questions: int = 0
    answers: int = 0
    other_posts: int = 0
    duplicate_ids: int = 0
    orphan_answers: int = 0
    skipped_rows: int = 0


def dump_folders(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """The sites in the paths, by name; each path is a folder with a Posts.xml or a folder of such folders.

    Raises:
        InputError: A path is no folder, holds no dump, or brings a site that another brought.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not path.is_dir():
            raise InputError(
                f"{path}: found {'a file' if path.exists() else 'nothing'}; expected a folder with a "
                "Posts.xml, or a folder of such folders; give the folder of an unpacked StackExchange dump"
            )
        inside = [path] if find_table(path, _POSTS) else sorted(path.iterdir())
        folders = [folder for folder in inside if find_table(folder, _POSTS)]
        if not folders:
            raise InputError(
                f"{path}: found neither Posts.xml nor Posts.xml.gz in it or one level below; "
                "expected a StackExchange dump; unpack its archive there"
            )
        for folder in folders:
            site = folder.resolve().name
            if site in found:
                raise InputError(
                    f"found the site {site!r} in {found[site]} and in {folder}; expected each site once; "
                    "leave one of the two out"
                )
            found[site] = folder
    return sorted(found.items())


def read_posts(folder_or_file: Path, site: str, counts: Counts | None = None) -> Iterator[Post]:
    """Stream the questions and answers of a dump; of the rows only the ids seen are kept in memory.

    Rows that lack Id, PostTypeId, Body or CreationDate, or that hold a word where a number belongs, are
    skipped, as is a post whose Id came before.

    Args:
        folder_or_file: The dump's folder, or its Posts.xml or Posts.xml.gz.
        site: The host name, for addresses.
        counts: Is added to, where the caller wants to know.

    Raises:
        InputError: There is no such file, or it declares a document type.
    """
    path = find_table(folder_or_file, _POSTS) if folder_or_file.is_dir() else folder_or_file
    if path is None or not path.is_file():
        raise InputError(
            f"{folder_or_file}: found no Posts.xml or Posts.xml.gz; expected the posts of a StackExchange "
            "dump; give the folder that holds them"
        )
    return _posts(path, site, _user_names(path.parent), counts if counts is not None else Counts())


def read_links(folder: Path, counts: Counts | None = None) -> list[Link]:
    """The links of the dump's PostLinks.xml; none where there is no such file.

    Raises:
        InputError: The file declares a document type.
    """
    path = find_table(folder, "PostLinks.xml")
    if path is None:
        return []
    counts = counts if counts is not None else Counts()
    links = []
    tally = Tally(path)
    for row in read_rows(path):
        try:
            type_id = row.integer("LinkTypeId")
            if type_id in _LINK_TYPES:
                ends = row.integer("PostId"), row.integer("RelatedPostId")
                links.append(Link(*ends, duplicate=_LINK_TYPES[type_id]))
        except BadRowError as fault:
            counts.skipped_rows += 1
            tally.skip(row, fault)
    tally.warn()
    return links


def threads(posts: Iterable[Post], counts: Counts | None = None) -> list[Thread]:
    """Questions with their answers, in the order read; answers without one are counted and left out."""
    questions: list[Post] = []
    answers: dict[int | None, list[Post]] = {}
    for post in posts:
        if post.kind == "question":
            questions.append(post)
        else:
            answers.setdefault(post.parent_id, []).append(post)
    result = [Thread(question, tuple(answers.pop(question.post_id, ()))) for question in questions]
    if counts is not None:
        counts.orphan_answers += sum(map(len, answers.values()))
    return result


def _posts(path: Path, site: str, names: Mapping[str, str], counts: Counts) -> Iterator[Post]:
    tally = Tally(path)
    seen: set[int] = set()
    for row in read_rows(path):
        try:
            kind = _KINDS.get(row.integer("PostTypeId"))
            if kind is None:
                counts.other_posts += 1
                continue
            post = _post(row, kind, site, names)
        except BadRowError as fault:
            counts.skipped_rows += 1
            tally.skip(row, fault)
            continue
        if post.post_id in seen:
            counts.duplicate_ids += 1
            continue
        seen.add(post.post_id)
        if kind == "question":
            counts.questions += 1
        else:
            counts.answers += 1
        yield post
    tally.warn()
    if counts.duplicate_ids:
        logger.warning("%s: skipped posts whose Id came before: %d", path, counts.duplicate_ids)


def _post(row: Row, kind: PostKind, site: str, names: Mapping[str, str]) -> Post:
    attributes = row.attributes
    created = row.text("CreationDate")
    return Post(
        site=site,
        post_id=row.integer("Id"),
        kind=kind,
        parent_id=row.optional_integer("ParentId"),
        accepted_answer_id=row.optional_integer("AcceptedAnswerId"),
        score=row.optional_integer("Score") or 0,
        title=attributes.get("Title", ""),
        html=row.text("Body"),
        tags=tuple(_TAG.findall(attributes.get("Tags", ""))),
        author=attributes.get("OwnerDisplayName") or names.get(attributes.get("OwnerUserId", ""), ""),
        created=created,
        licence=attributes.get("ContentLicense") or _licence(created),
        closed="ClosedDate" in attributes,
    )


def _licence(created: str) -> str:
    return next((licence for before, licence in _LICENCES if created < before), _LATEST_LICENCE)


def _user_names(folder: Path) -> dict[str, str]:
    path = find_table(folder, "Users.xml")
    rows = read_rows(path) if path else ()
    return {row.attributes.get("Id", ""): row.attributes.get("DisplayName", "") for row in rows}
