"""Values by site and post in an SQLite file: mining's selected texts, of which few are in memory at a time."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

# SQLite's page cache in kilobytes.
_CACHE = 4096


class ChosenPost(NamedTuple):
    """The needed fields of a selected post."""

    site: str
    post_id: int
    thread: int | None
    """The id of the question, or of the question that the answer belongs to."""
    title: str
    html: str
    author: str
    licence: str
    url: str
    declined: bool


class PostValues:
    """A file of values by site and post; several processes may read it while one adds to it."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path, isolation_level=None)
        # No journal is needed: a file that a kill leaves behind is made anew.
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE}"):
            self._file.execute(f"PRAGMA {setting}")
        self._file.execute("CREATE TABLE IF NOT EXISTS kept (site INT, post_id INT, value BLOB)")
        self._file.execute("CREATE UNIQUE INDEX IF NOT EXISTS places ON kept (site, post_id)")

    def add(self, values: Iterable[tuple[int, int, Any]]) -> None:
        """Add rows of site, post and value; existing values stay."""
        rows = ((site, post_id, pickle.dumps(value, 5)) for site, post_id, value in values)
        self._file.execute("BEGIN")
        self._file.executemany("INSERT OR IGNORE INTO kept VALUES (?, ?, ?)", rows)
        self._file.execute("COMMIT")

    def get(self, site: int, post_id: int) -> Any:
        """The value of a post; None if there is none."""
        query = "SELECT value FROM kept WHERE site = ? AND post_id = ?"
        row = self._file.execute(query, (site, post_id)).fetchone()
        return None if row is None else pickle.loads(row[0])

    def close(self) -> None:
        """Close the file."""
        self._file.close()
