"""The sites of a run, from dumps or tables of questions, each read once and stored."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from interank.errors import InputError
from interank.mining.parts import Spread, work_through
from interank.mining.rows import Tally
from interank.mining.stackexchange import Dump, find_dumps
from interank.mining.store import Store, StoreRows, no_users
from interank.mining.tables import find_table
from interank.outputs import write_whole
from interank.settings import MiningRecipe
from interank.wording import listed

logger = logging.getLogger(__name__)

# The order in which tables are stored, and their links counted.
_IN_ORDER = ("PostLinks", "Comments", "Posts", "Users")
# The ending of the note that a site is stored whole, written last; and the names of the site's files.
_WHOLE = ".whole"
_OF_SITE = re.compile(r"[a-z]+-([0-9]{5})-[0-9]+-[0-9]+\.parquet")


class Origin(Protocol):
    """The source of a site's posts."""

    @property
    def site(self) -> str:
        """The site's name."""
        ...

    @property
    def names(self) -> Mapping[int, str]:
        """The original ids that are texts, by their internal numbers; complete once the site is stored."""
        ...

    def store(self, store: Store) -> tuple[int, int]:
        """Store every post and link; return the numbers of skipped rows and of posts of other kinds."""
        ...


def find_sites(paths: Sequence[Path], settings: MiningRecipe) -> list[Origin]:
    """Find the sites in the paths, sorted by name, without those that the settings exclude.

    Raises:
        InputError: A path holds no dump, a site comes twice, or all are excluded.
    """
    by_name: dict[str, Origin] = {}
    spread = Spread(settings.processes)
    for path in paths:
        table = find_table(path, settings.columns)
        dumps = [] if table else find_dumps(path)
        origins: list[Origin] = [table] if table else [_DumpPosts(dump, spread) for dump in dumps]
        for origin in origins:
            if origin.site in by_name:
                raise InputError(
                    f"the site {origin.site} is given twice, the second time in {path}; leave one of the two out"
                )
            by_name[origin.site] = origin
    excluded = sorted(by_name.keys() & settings.excluded_sites)
    if excluded:
        logger.info("left out by exclude_sites: %s", ", ".join(excluded))
    if len(excluded) == len(by_name):
        raise InputError(
            f"exclude_sites leaves out {'all of ' if excluded else ''}{listed(excluded, 'nothing')}, so no site is "
            "left; give other dumps, or shorten exclude_sites"
        )
    return [origin for site, origin in sorted(by_name.items()) if site not in excluded]


def begin(folder: Path) -> None:
    """Clear a folder of a killed run's files, except for the sites that were stored whole."""
    whole = {int(path.stem) for path in folder.glob(f"*{_WHOLE}")}
    for path in [*folder.iterdir()]:
        part = _OF_SITE.fullmatch(path.name)
        if path.suffix == _WHOLE or (part and int(part[1]) in whole):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    no_users(folder)


def remove(folder: Path) -> None:
    """Remove the folder of stored sites; the notes first, so that a kill leaves no note without its site."""
    for note in folder.glob(f"*{_WHOLE}"):
        note.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def store_once(origin: Origin, store: Store) -> tuple[int, int]:
    """Store a site unless an earlier run stored it; return the counts of `Origin.store`."""
    note = store.folder / f"{store.numbers[store.site]}{_WHOLE}"
    if note.is_file():
        logger.info("%s: already read", origin.site)
        skipped, others = json.loads(note.read_text("utf-8"))
        return skipped, others
    counts = origin.store(store)
    # A site whose ids are texts has to be read again, since reading assigns their numbers.
    if not origin.names:
        write_whole(note, json.dumps(counts))
    return counts


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
        """Empty: a dump's ids are numbers."""
        return {}

    def store(self, store: Store) -> tuple[int, int]:
        """Store every post and link; return the numbers of skipped rows and of posts of other kinds."""
        skipped = others = 0
        for number, (name, table) in enumerate((name, self.dump.tables.get(name)) for name in _IN_ORDER):
            if table is None:
                continue
            tally = Tally()
            parts = work_through(table, StoreRows(store, name), tally, spread=self.spread)
            for place, part in enumerate(parts):
                others += part.other_posts
                store.take_in(part, number, place)
            tally.warn(table)
            skipped += tally.skipped
        return skipped, others
