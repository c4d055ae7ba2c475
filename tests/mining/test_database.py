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


def test_links_are_followed_from_both_ends_where_few_questions_are_drawn(tmp_path: Path) -> None:
    empty(tmp_path).close()
    (tmp_path / "mining.duckdb").unlink()
    # Six threads of a question and an answer each, in a circle: each question links to the next.
    with duckdb.connect() as made:
        made.execute(
            f"""COPY (SELECT 0::INTEGER AS site, id AS post_id, id % 2 = 1 AS question,
            CASE WHEN id % 2 = 1 THEN NULL ELSE id - 1 END AS other, 1::BIGINT AS score, true AS fits,
            false AS declined, '' AS title, '' AS html, '' AS author, '' AS owner, '' AS licence, '' AS url
            FROM range(1, 13) r(id)) TO '{tmp_path}/posts-1.parquet' (FORMAT parquet)"""
        )
        made.execute(
            f"""COPY (SELECT 0::INTEGER AS site, 2 * i + 1 AS post_id, 0::INTEGER AS related_site,
            (2 * i + 2) % 12 + 1 AS related_id, false AS duplicate
            FROM range(6) r(i)) TO '{tmp_path}/links-1.parquet' (FORMAT parquet)"""
        )
    database = Database(tmp_path, [SITE], MiningRecipe(questions=1), 1)
    [drawn], _, _ = database.draw()
    database.link()
    [answers] = database.answers(0)
    database.close()
    assert answers.post_id == drawn.post_id
    around = {(drawn.post_id + step) % 12 + 1 for step in (2, -2)}
    assert {post_id for _, post_id in answers.linked} == set(answers.near) == around


def empty(folder: Path, memory_gb: float = 2.0) -> Database:
    settings = MiningRecipe(memory_gb=memory_gb)
    store = Store(folder, SITE, {SITE: 0}, settings)
    no_users(folder)
    store.take_in(store.posts([]), 0, 0)
    return Database(folder, [SITE], settings, 1)
