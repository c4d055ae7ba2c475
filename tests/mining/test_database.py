"""The database of posts keeps its limit on memory, and ends with the command."""

import signal
import threading
import time
from pathlib import Path

import duckdb
import pytest

from interank.mining.database import Database
from interank.mining.store import Store, no_users
from interank.settings import MiningRecipe
from tests.mining.test_stackexchange import SITE


class EndedError(Exception):
    pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_query_and_comes_into_force(tmp_path: Path, number: signal.Signals) -> None:
    def end(*_: object) -> None:
        raise EndedError

    database = empty(tmp_path)
    before = signal.signal(number, end)
    timer = threading.Timer(0.5, signal.pthread_kill, (threading.main_thread().ident, number))
    started = time.monotonic()
    try:
        timer.start()
        with pytest.raises(EndedError):
            database._fetched(
                "SELECT md5(a.range::VARCHAR) AS x FROM range(100000) a, range(100000) ORDER BY x LIMIT 1"
            )
        assert signal.getsignal(number) is end
    finally:
        signal.signal(number, before)
        timer.join()
        database.close()
    assert time.monotonic() - started < 30


def test_memory_is_limited_as_the_settings_say(tmp_path: Path) -> None:
    database = empty(tmp_path, memory_gb=0.25)
    [(limit,)] = database._fetched("SELECT current_setting('memory_limit')")
    assert limit == "238.4 MiB"
    with pytest.raises(duckdb.OutOfMemoryException):
        database._fetched("SELECT list(range::VARCHAR || repeat('x', 1000)) FROM range(1000000)")
    database.close()


def empty(folder: Path, memory_gb: float = 2.0) -> Database:
    settings = MiningRecipe(memory_gb=memory_gb)
    store = Store(folder, SITE, {SITE: 0}, settings)
    no_users(folder)
    store.take_in(store.posts([]), 0, 0)
    return Database(folder, [SITE], settings, 1)
