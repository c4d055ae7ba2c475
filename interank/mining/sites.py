"""A site of a run, whether from a dump or from a table of questions: surveyed once, its texts fetched when needed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from interank.errors import InputError
from interank.mining.parts import Spread, work_through
from interank.mining.rows import BadRowError, Row, Tally, read_rows
from interank.mining.stackexchange import (
    Dump,
    Post,
    find_dumps,
    post_from,
    read_comment_links,
    read_links,
    read_users,
)
from interank.mining.tables import find_table
from interank.mining.threads import Outline, Outliner
from interank.settings import MiningRecipe
from interank.wording import listed

logger = logging.getLogger(__name__)


class Origin(Protocol):
    """Where the posts of a site come from."""

    @property
    def site(self) -> str:
        """The site's name."""
        ...

    @property
    def names(self) -> Mapping[int, str]:
        """The ids that are texts, by the numbers that stand for them; complete when the outline is."""
        ...

    def outline(self, settings: MiningRecipe, sites: frozenset[str]) -> tuple[Outline, int]:
        """Every post without its text, and how many rows had to be skipped."""
        ...

    def questions(self) -> Iterator[Post]:
        """Every question with its text, one at a time."""
        ...

    def fetch(self, wanted: Collection[int]) -> dict[int, Post]:
        """The posts with these ids."""
        ...


def find_sites(paths: Sequence[Path], settings: MiningRecipe) -> list[Origin]:
    """The sites in the paths, by name, less those that the settings exclude.

    Raises:
        InputError: A path holds no dump, a site comes twice, or all are excluded.
    """
    found: dict[str, Origin] = {}
    spread = Spread(settings.processes)
    for path in paths:
        table = find_table(path, settings.columns)
        dumps = [] if table else find_dumps(path)
        origins: list[Origin] = [table] if table else [_DumpPosts(dump, spread) for dump in dumps]
        for origin in origins:
            if origin.site in found:
                raise InputError(
                    f"the site {origin.site} is there twice, the second time in {path}; leave one of the two out"
                )
            found[origin.site] = origin
    excluded = sorted(found.keys() & settings.excluded_sites)
    if excluded:
        logger.info("left out by exclude_sites: %s", ", ".join(excluded))
    if len(excluded) == len(found):
        raise InputError(
            f"exclude_sites leaves out {'all of ' if excluded else ''}{listed(excluded, 'nothing')}, so that "
            "no site is left; give other dumps, or shorten exclude_sites"
        )
    return [origin for site, origin in sorted(found.items()) if site not in excluded]


@dataclass(frozen=True, slots=True)
class _DumpPosts:
    """The posts of a StackExchange dump."""

    dump: Dump
    spread: Spread

    @property
    def site(self) -> str:
        """The site's name."""
        return self.dump.site

    @property
    def names(self) -> Mapping[int, str]:
        """None: a dump's ids are numbers."""
        return {}

    def outline(self, settings: MiningRecipe, sites: frozenset[str]) -> tuple[Outline, int]:
        """Every post without its text, and how many rows had to be skipped."""
        outline = Outline()
        tables = self.dump.tables
        skipped = 0
        for name in ("PostLinks", "Comments", "Posts"):
            tally = Tally()
            if name not in tables:
                continue
            if name == "PostLinks":
                outline.links.extend(read_links(tables[name], tally))
            elif name == "Comments":
                outline.links.extend(read_comment_links(tables[name], tally, self.site, sites))
            else:
                work = Outliner(self.site, settings, sites)
                for part in work_through(tables[name], work, tally, spread=self.spread):
                    outline.extend(part)
            tally.warn(tables[name])
            skipped += tally.skipped
        return outline, skipped

    def questions(self) -> Iterator[Post]:
        """Every question with its text, one at a time."""
        for row in read_rows(self.dump.tables["Posts"], Tally()):
            post = _sound(row, self.site)
            if post is not None and post.kind == "question":
                yield post

    def fetch(self, wanted: Collection[int]) -> dict[int, Post]:
        """The posts with these ids."""
        found: dict[int, Post] = {}
        if not wanted:
            return found
        ids = frozenset(wanted)
        rows = read_rows(self.dump.tables["Posts"], Tally())
        for row in rows:
            post = _sound(row, self.site)
            # The first of those with one id counts, as in the outline.
            if post is not None and post.post_id in ids:
                found.setdefault(post.post_id, post)
        return self._with_names(found)

    def _with_names(self, posts: dict[int, Post]) -> dict[int, Post]:
        nameless = {post.owner_id for post in posts.values() if not post.author and post.owner_id}
        if not nameless or "Users" not in self.dump.tables:
            return posts
        names = read_users(self.dump.tables["Users"], nameless)
        return {
            post_id: post if post.author else replace(post, author=names.get(post.owner_id, ""))
            for post_id, post in posts.items()
        }


def _sound(row: Row, site: str) -> Post | None:
    try:
        return post_from(row, site)
    except BadRowError as fault:
        logger.debug("%s: line %d: %s", site, row.line, fault)
        return None
