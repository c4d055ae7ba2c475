"""StackExchange dumps, the XML files that archive.org publishes: finding them, and parsing posts, links and users.

Readers skip what they cannot read and report it: a bad row is counted and named by its line, and a file that breaks off
yields the rows before the break.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from interank.errors import InputError
from interank.mining.rows import Row
from interank.mining.streams import Table, archive_members
from interank.tables.reading import SPREADSHEETS, no_table
from interank.wording import nearby

PostKind = Literal["question", "answer"]

TABLES = ("Posts", "PostLinks", "Users", "Comments")
_KINDS: Mapping[int, PostKind] = {1: "question", 2: "answer"}
# https://meta.stackexchange.com/questions/2677: 1 linked, 3 duplicate.
_LINK_TYPES = {1: False, 3: True}
# https://stackoverflow.com/help/licensing: posts from before each date have its licence.
_LICENCES = (("2011-04-08", "CC BY-SA 2.5"), ("2018-05-02", "CC BY-SA 3.0"))
_LATEST_LICENCE = "CC BY-SA 4.0"

# "<a><b>" in dumps up to 2023, "|a|b|" since.
_TAG = re.compile("[^<>|]+")
# The largest site has an archive for each table: stackoverflow.com-Posts.7z and so on.
_TABLE_ARCHIVE = re.compile(r"(.+)-([A-Z][A-Za-z]+)")
# An address of a post as people paste it: with or without a scheme, /questions/7/title, /q/7/user, /a/8/user, relative.
_ADDRESS = re.compile(
    r"""(?:(?:https?:|["'])//([a-z0-9.-]+)|href=["'])/(?:questions|q|a)/([0-9]{1,18})""", re.IGNORECASE
)


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
    owner_id: str
    created: str
    licence: str
    closed: bool
    address: str | None = None
    """The web address if it is not StackExchange's; empty if it is not known."""
    accepted: bool | None = None
    """Whether an answer was accepted; None if the answer itself does not say so."""

    @property
    def declined(self) -> bool:
        """Whether it is marked as not accepted and has no votes in its favour."""
        return self.accepted is False and self.score <= 0

    @property
    def url(self) -> str:
        """The post's web address."""
        if self.address is not None:
            return self.address
        return f"https://{self.site}/{'questions' if self.kind == 'question' else 'a'}/{self.post_id}"


class Link(NamedTuple):
    """A link from one post to another, of the same site if `site` is empty; `duplicate` marks a repeated question."""

    post_id: int
    related_id: int
    duplicate: bool
    site: str = ""


@dataclass(slots=True)
class Counts:
    """Counts of one site's posts, and of the questions that were left out."""

    questions: int = 0
    answers: int = 0
    other_posts: int = 0
    duplicate_ids: int = 0
    orphan_answers: int = 0
    skipped_rows: int = 0
    unfit_questions: int = 0
    """Questions whose votes, words, tags or closing the settings exclude."""
    few_answers_questions: int = 0
    """Questions with fewer answers than `min_answers`."""
    short_answers_questions: int = 0
    """Questions with fewer than `min_answers` answers that are long enough."""
    declined_questions: int = 0
    """Questions whose answers are all marked as not accepted and have no votes."""


@dataclass(frozen=True, slots=True)
class Dump:
    """The dump files of one site, by the names in `TABLES`."""

    site: str
    tables: Mapping[str, Table]


def find_dumps(path: Path) -> list[Dump]:
    """Find the sites in a path: a folder with a Posts.xml, a 7z archive, or a folder of such folders and archives.

    Raises:
        InputError: The path holds no dump, or an archive cannot be opened.
    """
    if path.is_file():
        inside = [path]
    else:
        inside = [path, *(sorted(path.iterdir()) if path.is_dir() and not _loose_tables(path) else ())]
    by_site: dict[str, dict[str, Table]] = {}
    for place in inside:
        tables = _loose_tables(place) if place.is_dir() else _archived_tables(place) if _is_archive(place) else {}
        if tables:
            site = place.resolve().name if place.is_dir() else place.name.removesuffix(".7z")
            split = _TABLE_ARCHIVE.fullmatch(site) if len(tables) == 1 and not place.is_dir() else None
            site = split[1] if split and split[2] in tables else site
            for name, table in tables.items():
                if name in by_site.setdefault(site, {}):
                    raise InputError(
                        f"{name}.xml of {site} is given twice, in {by_site[site][name]} and in {table}; leave "
                        "one of the two out"
                    )
                by_site[site][name] = table
    dumps = [Dump(site, tables) for site, tables in sorted(by_site.items()) if "Posts" in tables]
    if not dumps:
        if path.suffix.lower() in SPREADSHEETS:
            raise InputError(no_table(path))
        fault = "is no dump by its name" if path.is_file() else "has no Posts.xml in it or one level below"
        fault = fault if path.exists() else f"does not exist{nearby(path)}"
        raise InputError(
            f"{path} {fault}; give a StackExchange dump (a folder with Posts.xml or Posts.xml.gz, a site's .7z, a "
            "folder of these), a table of questions (.jsonl, .csv, .parquet ...), or what `interank import --as "
            "questions` made"
        )
    return dumps


def _is_archive(path: Path) -> bool:
    return path.is_file() and path.suffix == ".7z"


def _loose_tables(folder: Path) -> dict[str, Table]:
    tables = {}
    for name in TABLES:
        for path in (folder / f"{name}.xml.gz", folder / f"{name}.xml"):
            if path.is_file():
                tables[name] = Table(path)
    return tables


def _archived_tables(path: Path) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    for member in archive_members(path):
        name = member.rpartition("/")[2].removesuffix(".xml")
        if name in TABLES and member.endswith(".xml"):
            if name in tables:
                raise InputError(
                    f"{path} holds {name}.xml twice, as {tables[name].member} and as {member}; unpack it, and give the "
                    "folder of the one that you mean"
                )
            tables[name] = Table(path, member)
    return tables


def post_from(row: Row, site: str) -> Post | None:
    """The question or answer in a row; None for another kind of post.

    Raises:
        BadRowError: Id, PostTypeId, Body or CreationDate is missing, or a number is not an integer.
    """
    kind = _KINDS.get(row.integer("PostTypeId"))
    if kind is None:
        return None
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
        author=attributes.get("OwnerDisplayName", ""),
        owner_id=attributes.get("OwnerUserId", ""),
        created=created,
        licence=attributes.get("ContentLicense") or _licence(created),
        closed="ClosedDate" in attributes,
    )


def _licence(created: str) -> str:
    return next((licence for before, licence in _LICENCES if created < before), _LATEST_LICENCE)


def link_from(row: Row) -> Link | None:
    """The link in a row of a PostLinks.xml, to a related post or a duplicate; None for another kind.

    Raises:
        BadRowError: An id is missing, or is not an integer.
    """
    type_id = row.integer("LinkTypeId")
    if type_id not in _LINK_TYPES:
        return None
    return Link(row.integer("PostId"), row.integer("RelatedPostId"), _LINK_TYPES[type_id])


def links_in(html: str, post_id: int, sites: Collection[str], own: str) -> Iterator[Link]:
    """The links in a post's text to posts of its own site and of `sites`."""
    if "/q" not in html and "/a/" not in html:
        return
    for match in _ADDRESS.finditer(html):
        site = (match[1] or own).lower()
        if site == own or site in sites:
            yield Link(post_id, int(match[2]), False, "" if site == own else site)
