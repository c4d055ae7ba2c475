"""Values by site and post on disk: the texts that mining has chosen, of which few are in memory at a time."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

# So many kilobytes of the file are held.
_CACHE = 4096


class ChosenPost(NamedTuple):
    """What is needed of a post that was chosen."""

    site: str
    post_id: int
    thread: int | None
    """The question that it is or answers."""
    title: str
    html: str
    author: str
    licence: str
    url: str
    declined: bool


class PostValues:
    """A file of values; several processes may read it while one adds to it."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path, isolation_level=None)
        # A file that a kill leaves behind is made anew.
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE}"):
            self._file.execute(f"PRAGMA {setting}")
        self._file.execute("CREATE TABLE IF NOT EXISTS kept (site INT, post_id INT, value BLOB)")
        self._file.execute("CREATE UNIQUE INDEX IF NOT EXISTS places ON kept (site, post_id)")

    def add(self, values: Iterable[tuple[int, int, Any]]) -> None:
        """Add values, each after its site and post; what is there already stays."""
        rows = ((site, post_id, pickle.dumps(value, 5)) for site, post_id, value in values)
        self._file.execute("BEGIN")
        self._file.executemany("INSERT OR IGNORE INTO kept VALUES (?, ?, ?)", rows)
        self._file.execute("COMMIT")

    def get(self, site: int, post_id: int) -> Any:
        """The value; None where there is none."""
        asked = "SELECT value FROM kept WHERE site = ? AND post_id = ?"
        found = self._file.execute(asked, (site, post_id)).fetchone()
        return None if found is None else pickle.loads(found[0])

    def close(self) -> None:
        """Close the file."""
        self._file.close()
