"""Stores of a teacher's replies: no stored request is sent again, after a kill, in other runs or for other outputs."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interank.engines.prompts import Prompt
from interank.engines.protocol import Failure, LabelLogits, Reply, Request, Teacher, Unit
from interank.engines.soundness import checked
from interank.errors import InputError
from interank.teacher.budget import Meter, Spent

log = logging.getLogger(__name__)

# `paid` is 0 where the replies were copied from another store; `seconds` is the run's time until then.
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, replies TEXT NOT NULL, read INTEGER NOT NULL, "
    "written INTEGER NOT NULL, paid INTEGER NOT NULL, seconds REAL NOT NULL) WITHOUT ROWID"
)
_INSERT = "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?)"
Row = tuple[str, str, int, int, int, float]
# Older stores may hold any number that a server sent, since replies were not checked then.
_COUNTED = "CASE WHEN {0} BETWEEN 0 AND 1000000000 THEN {0} ELSE 0 END"
# Another process may be writing; its commits take milliseconds.
_PATIENCE = 60.0
_PAUSE = 0.01


class ReplyStore:
    """Replies by key in one SQLite file: whole or absent after a kill, safe for several processes at a time."""

    def __init__(self, path: Path) -> None:
        """Open the store, or make it.

        Raises:
            InputError: The file is no store of replies, or cannot be written.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
            self._begin_log()
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise InputError(f"{path} cannot be used to keep replies ({error}); remove it or name another") from None

    def _begin_log(self) -> None:
        """Switch to a write-ahead log; SQLite does not wait where another process does so at the same moment."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE)

    def get(self, key: str) -> tuple[Reply, ...] | None:
        """The stored replies of a unit, or None; an empty tuple where the row is damaged."""
        row = self._connection.execute("SELECT replies FROM replies WHERE key = ?", (key,)).fetchone()
        return _replies(row[0]) if row else None

    def put(self, key: str, replies: Sequence[Reply], *, paid: bool, seconds: float = 0.0) -> None:
        """Store the replies of a unit; they are on disk when this returns."""
        text = json.dumps([asdict(reply) for reply in replies], separators=(",", ":"), allow_nan=False)
        read, written = (sum(reply.read for reply in replies), sum(reply.written for reply in replies))
        self._connection.execute(_INSERT, (key, text, read, written, int(paid), seconds))

    def discard(self, key: str) -> None:
        """Delete the replies of a unit."""
        self._connection.execute("DELETE FROM replies WHERE key = ?", (key,))

    def spent(self) -> Spent:
        """The cost of the stored replies that this output paid for."""
        return self._sums("WHERE paid")

    def held(self) -> Spent:
        """The cost of all stored replies, whoever paid for them."""
        return self._sums("")

    def _sums(self, which: str) -> Spent:
        columns = f"SUM({_COUNTED.format('read')}), SUM({_COUNTED.format('written')}), MAX(seconds)"
        query = f"SELECT {columns} FROM replies {which}"
        return Spent(*(value or 0 for value in self._connection.execute(query).fetchone()))

    def rows(self) -> Iterator[Row]:
        """All rows, sorted by key."""
        yield from self._connection.execute("SELECT * FROM replies ORDER BY key")

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Add rows of another store."""
        self._connection.execute("BEGIN")
        self._connection.executemany(_INSERT, rows)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


@dataclass(slots=True)
class RequestCounts:
    """Counts of the requests sent to the teacher and of those answered from a store, with the tokens of the sent."""

    sent: int = 0
    replayed: int = 0
    read: int = 0
    written: int = 0
    failed: int = 0


class Asker:
    """Answers requests from the stores, and sends the others to a teacher."""

    def __init__(self, teacher: Teacher, own: ReplyStore, shared: ReplyStore | None, meter: Meter) -> None:
        """Take a teacher and the stores.

        Args:
            teacher: Gets the requests that no store answers.
            own: The replies of this output.
            shared: The replies of all outputs; new ones are added.
            meter: Counts the cost, and tells when the budget is reached.
        """
        self.teacher = teacher
        self.meter = meter
        self.asked = RequestCounts()
        self._own = own
        self._shared = shared

    def replies(self, requests: Sequence[Request]) -> list[Reply | Failure | None]:
        """A reply to each request, in order; None where the budget ended first."""
        size = self.teacher.unit_size
        units = [tuple(requests[start : start + size]) for start in range(0, len(requests), size)]
        replies_of: dict[str, tuple[Reply | Failure, ...]] = {}
        keys = [self._key(unit) for unit in units]
        missing: dict[str, Unit] = {}
        for key, unit in zip(keys, units, strict=True):
            stored = self._stored(key, unit)
            if stored is None:
                missing[key] = unit
            else:
                replies_of[key] = stored
                self.asked.replayed += len(unit)
        for unit, replies in self.teacher.ask(self._within_budget(missing.values())):
            key = self._key(unit)
            replies_of[key] = replies
            self._store(key, replies)
        both = zip(keys, units, strict=True)
        return [reply for key, unit in both for reply in replies_of.get(key, (None,) * len(unit))]

    def _within_budget(self, units: Iterable[Unit]) -> Iterator[Unit]:
        for unit in units:
            if self.meter.reached():
                return
            self.asked.sent += len(unit)
            yield unit

    def _stored(self, key: str, unit: Unit) -> tuple[Reply, ...] | None:
        own = self._sound(self._own, key, unit)
        if self._shared is None:
            return own
        shared = self._sound(self._shared, key, unit)
        if own is None and shared is not None:
            self._own.put(key, shared, paid=False)
        elif own is not None and shared is None:
            # A kill came between the two stores.
            self._shared.put(key, own, paid=True)
        return own or shared

    def _sound(self, store: ReplyStore, key: str, unit: Unit) -> tuple[Reply, ...] | None:
        """The unit's replies in a store, or None; replies that fail their check are deleted from it."""
        stored = store.get(key)
        if stored is None:
            return None
        results = [checked(*pair, self.teacher.vocabulary) for pair in zip(unit, stored, strict=False)]
        faults = [result.reason for result in results if isinstance(result, Failure)]
        if len(stored) == len(unit) and not faults:
            return stored
        reason = faults[0] if faults else "it cannot be read"
        log.warning("%s holds a reply that cannot be used (%s); its request is sent again", store.path, reason)
        store.discard(key)
        return None

    def _store(self, key: str, replies: Sequence[Reply | Failure]) -> None:
        """Count and store a unit's replies; a unit with a failure is not stored, so that a later run sends it again."""
        whole = [reply for reply in replies if isinstance(reply, Reply)]
        self.asked.failed += len(replies) - len(whole)
        for reply in whole:
            self.asked.read += reply.read
            self.asked.written += reply.written
            self.meter.add(reply.read, reply.written)
        if len(whole) == len(replies):
            self._own.put(key, whole, paid=True, seconds=self.meter.spent.seconds)
            if self._shared is not None:
                self._shared.put(key, whole, paid=True)

    def _key(self, unit: Unit) -> str:
        content = json.dumps([self.teacher.identity, [_content(request) for request in unit]], separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()


def _content(request: Request) -> list[Any]:
    """The parts of a request on which its reply depends; the seed is none of them where decoding is greedy."""
    sampling = request.sampling
    seed = sampling.seed if sampling.temperature else 0
    prompt = request.prompt.ids if isinstance(request.prompt, Prompt) else request.prompt
    how = [sampling.max_new_tokens, sampling.temperature, seed]
    return [prompt, how, request.end, request.labels, request.schema]


def _replies(text: str) -> tuple[Reply, ...]:
    """The replies of a row; empty where it is damaged."""
    try:
        return tuple(_reply(item) for item in json.loads(text))
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()


def _reply(item: dict[str, Any]) -> Reply:
    labels = item["labels"]
    if labels is not None:
        first, second, third = map(float, labels["logits"])
        labels = LabelLogits((first, second, third), float(labels["mass"]))
    return Reply(**{**item, "ids": tuple(item["ids"]), "labels": labels})
