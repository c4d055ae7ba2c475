"""Queries over the posts of all sites, by DuckDB in bounded memory: threads, the draw, links and texts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import duckdb

from interank.mining.post_values import PostValues
from interank.mining.stackexchange import Counts
from interank.settings import MiningRecipe

# Rows with bodies that are fetched at once.
_TOGETHER = 2048
# Few threads, since each buffers bodies.
_THREADS = 2

# Rows with bodies are never sorted or limited, which would take unbounded memory: ids are selected first.
_READ = """
CREATE TABLE sites (site INTEGER, name VARCHAR);
CREATE VIEW every AS SELECT * FROM read_parquet('{folder}/posts-*.parquet', filename = true, file_row_number = true);
CREATE TABLE repeated AS
  WITH twice AS (SELECT site, post_id FROM every GROUP BY ALL HAVING count(*) > 1)
  SELECT site, filename, file_row_number FROM every SEMI JOIN twice USING (site, post_id)
  QUALIFY row_number() OVER (PARTITION BY site, post_id ORDER BY filename, file_row_number) > 1;
CREATE VIEW firsts AS SELECT * FROM every ANTI JOIN repeated USING (filename, file_row_number);
CREATE TABLE posts AS
  SELECT site, post_id, question, other, score, fits, declined, CASE WHEN question THEN post_id ELSE other END AS thread
  FROM firsts;
CREATE TABLE removed (site INTEGER, thread BIGINT);
"""
_THREADS_OF = """
CREATE TABLE threads AS
  SELECT site, thread,
    bool_or(question) AS asked,
    bool_or(question AND fits) AS taken,
    max(other) FILTER (question) AS accepted,
    count(*) FILTER (NOT question) AS answers,
    count(*) FILTER (NOT question AND fits) AS serving,
    bool_or(NOT question AND fits AND NOT declined) AS helped
  FROM posts GROUP BY ALL;
CREATE TABLE counts AS
  SELECT site,
    coalesce(sum(asked::INT), 0)::BIGINT AS questions,
    sum(answers)::BIGINT AS answers,
    coalesce(sum(answers) FILTER (NOT asked), 0)::BIGINT AS orphan_answers
  FROM threads GROUP BY site;
DELETE FROM threads WHERE NOT asked OR (site, thread) IN (SELECT (site, thread) FROM removed);
CREATE TABLE fates AS
  SELECT site,
    count(*) FILTER (NOT taken) AS unfit_questions,
    count(*) FILTER (taken AND answers < $least) AS few_answers_questions,
    count(*) FILTER (taken AND answers >= $least AND serving < $least) AS short_answers_questions,
    count(*) FILTER (taken AND serving >= $least AND NOT helped) AS declined_questions,
    count(*) FILTER (taken AND serving >= $least AND helped) AS eligible
  FROM threads GROUP BY site;
"""
# The order is that of a hash, so that it depends neither on the file's order nor on other sites.
_DRAW = """
CREATE TABLE drawn AS
  WITH eligible AS (
    SELECT site, thread, md5_number_lower(concat_ws('/', $seed, name, thread)) AS key
    FROM threads JOIN sites USING (site) WHERE taken AND serving >= $least AND helped
    QUALIFY row_number() OVER (PARTITION BY site ORDER BY key, thread) <= $each
  ) SELECT site, thread, key FROM eligible ORDER BY key, site, thread LIMIT $questions;
CREATE TABLE pool AS
  SELECT site, post_id FROM posts JOIN sites USING (site)
  SEMI JOIN threads USING (site, thread)
  SEMI JOIN (SELECT DISTINCT site FROM drawn) USING (site)
  WHERE NOT question AND fits
  QUALIFY row_number() OVER (
    PARTITION BY site ORDER BY md5_number_lower(concat_ws('/', $seed, name, 'pool', post_id)), post_id
  ) <= $pool;
"""
# Only links at drawn threads are joined with the posts, since all links of a large site would take too much memory.
_LINK = """
CREATE TABLE at_drawn AS SELECT site, post_id FROM posts SEMI JOIN drawn USING (site, thread);
CREATE TABLE links AS
  WITH l AS (FROM read_parquet('{folder}/links-*.parquet', filename = true, file_row_number = true))
  FROM l SEMI JOIN at_drawn d ON d.site = l.site AND d.post_id = l.post_id
  UNION FROM l SEMI JOIN at_drawn d ON d.site = l.related_site AND d.post_id = l.related_id;
CREATE TABLE held AS
  SELECT e.site, e.post_id, e.thread FROM (
    FROM posts SEMI JOIN (
      SELECT site, post_id FROM links UNION SELECT related_site, related_id FROM links
    ) USING (site, post_id)
  ) e JOIN threads USING (site, thread);
CREATE TABLE ties AS
  SELECT l.site, one.thread AS here, l.related_site, other.thread AS there, l.duplicate, l.filename, l.file_row_number
  FROM links l
  JOIN held one ON one.site = l.site AND one.post_id = l.post_id
  JOIN held other ON other.site = l.related_site AND other.post_id = l.related_id;
CREATE TABLE related AS
  SELECT site, here, there, bool_or(duplicate) AS duplicate FROM (
    SELECT site, here, there, duplicate FROM ties WHERE related_site = site AND here <> there
    UNION ALL SELECT site, there, here, duplicate FROM ties WHERE related_site = site AND here <> there
  ) t SEMI JOIN drawn ON drawn.site = t.site AND drawn.thread = here GROUP BY ALL;
CREATE TABLE abroad AS
  SELECT ties.site, here, related_site, there, min((filename, file_row_number)) AS place
  FROM ties SEMI JOIN drawn ON drawn.site = ties.site AND drawn.thread = here
  WHERE related_site <> ties.site GROUP BY ALL;
CREATE TABLE ranked AS
  WITH needed AS (
    SELECT site, thread FROM drawn UNION SELECT site, there FROM related UNION SELECT related_site, there FROM abroad
  ) SELECT p.site, p.thread, p.post_id, p.score, p.declined, row_number() OVER (
      PARTITION BY p.site, p.thread
      ORDER BY coalesce(t.accepted = p.post_id, false) DESC, p.declined, p.score DESC, p.post_id
    ) AS place
  FROM posts p JOIN (FROM threads SEMI JOIN needed USING (site, thread)) t ON t.site = p.site AND t.thread = p.thread
  WHERE NOT p.question AND p.fits;
CREATE TABLE linked AS
  SELECT r.site, r.here, b.site AS best_site, b.post_id AS best_id, 0 AS far, NOT r.duplicate AS linked_only,
    -b.score AS votes, r.there AS there, NULL AS place
  FROM related r JOIN ranked b ON b.site = r.site AND b.thread = r.there WHERE b.place = 1 AND NOT b.declined
  UNION ALL
  SELECT a.site, a.here, b.site, b.post_id, 1, NULL, NULL, NULL, a.place
  FROM abroad a JOIN ranked b ON b.site = a.related_site AND b.thread = a.there WHERE b.place = 1 AND NOT b.declined;
CREATE TABLE wanted AS
  SELECT site, thread AS post_id FROM drawn UNION SELECT site, post_id FROM pool
  UNION SELECT r.site, r.post_id FROM ranked r SEMI JOIN drawn USING (site, thread)
  UNION SELECT best_site, best_id FROM linked;
"""
_ANSWERS = """
WITH own AS (
  SELECT site, thread, list(post_id ORDER BY place) AS ids FROM ranked SEMI JOIN drawn USING (site, thread) GROUP BY ALL
), best AS (
  SELECT site, here AS thread,
    list({site: best_site, post_id: best_id} ORDER BY far, linked_only, votes, there, place) AS posts
  FROM linked GROUP BY ALL
), near AS (
  SELECT r.site, r.here AS thread, list(a.post_id ORDER BY a.post_id) AS ids
  FROM related r JOIN ranked a ON a.site = r.site AND a.thread = r.there GROUP BY ALL
) SELECT thread, coalesce(own.ids, []) AS own, coalesce(best.posts, []) AS linked, coalesce(near.ids, []) AS near
  FROM drawn LEFT JOIN own USING (site, thread) LEFT JOIN best USING (site, thread) LEFT JOIN near USING (site, thread)
  WHERE site = $site ORDER BY thread
"""
_TEXTS = """
SELECT site, post_id, CASE WHEN question THEN post_id ELSE other END AS thread, title, html,
  CASE WHEN author = '' THEN coalesce(name, '') ELSE author END AS author, licence, url, declined
FROM firsts SEMI JOIN wanted USING (site, post_id)
LEFT JOIN (
  SELECT site, owner, max(name) AS name FROM read_parquet('{folder}/users-*.parquet') GROUP BY ALL
) USING (site, owner)
"""


class DrawnQuestion(NamedTuple):
    """A question that was drawn."""

    site: str
    post_id: int

    @property
    def query_id(self) -> str:
        """Its id in pairs."""
        return f"{self.site}/{self.post_id}"


class QuestionWithAnswers(NamedTuple):
    """A drawn question with the ids of the answers that may become its documents."""

    post_id: int
    own: Sequence[int]
    linked: Sequence[tuple[int, int]]
    """The best answers of linked threads: their sites' numbers and their ids."""
    near: Sequence[int]
    """All answers in linked threads of its own site."""


class Database:
    """The posts of all sites; its methods are called in their order here."""

    def __init__(self, folder: Path, sites: Sequence[str], settings: MiningRecipe, seed: int) -> None:
        """Open the stored posts.

        Args:
            folder: The folder of the stored posts, links and users; data beyond the memory limit goes there too.
            sites: The names of the sites, in the order of their numbers.
            settings: The limits on memory and processes, and the selection of questions.
            seed: The seed of the draw.
        """
        self._folder = folder
        self._sites = sites
        self._settings = settings
        self._seed = str(seed)
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{round(settings.memory_gb * 1000)}MB",
            "temp_directory": str(folder),
            "threads": str(min(_THREADS, settings.processes or _THREADS)),
            "preserve_insertion_order": "false",
            # Otherwise files that were read would fill the memory up to the limit.
            "enable_external_file_cache": "false",
        }
        self._connect: Callable[[], duckdb.DuckDBPyConnection] = partial(
            duckdb.connect, str(folder / "mining.duckdb"), config=config
        )
        self._connection = self._connect()
        self._run(_READ)
        self._connection.executemany("INSERT INTO sites VALUES (?, ?)", [[n, name] for n, name in enumerate(sites)])

    def remove(self, site: int, threads: Iterable[int]) -> None:
        """Remove threads, the questions with their answers, from the draw."""
        rows = [[site, thread] for thread in threads]
        if rows:
            self._connection.executemany("INSERT INTO removed VALUES (?, ?)", rows)

    def draw(self) -> tuple[list[DrawnQuestion], list[Counts], list[int]]:
        """Draw questions: the questions in drawing order, each site's counts, and its number of eligible questions."""
        settings = self._settings
        unlimited = 1 << 62
        self._run(_THREADS_OF, least=settings.min_answers)
        self._run(
            _DRAW,
            seed=self._seed,
            least=settings.min_answers,
            each=settings.questions_per_site or unlimited,
            questions=settings.questions or unlimited,
            pool=settings.negative_pool,
        )
        drawn = self._fetched("SELECT site, thread FROM drawn ORDER BY key, site, thread")
        counts, eligible = self._counts()
        return [DrawnQuestion(self._sites[site], thread) for site, thread in drawn], counts, eligible

    def _counts(self) -> tuple[list[Counts], list[int]]:
        counts = [Counts() for _ in self._sites]
        eligible = [0 for _ in self._sites]
        repeated = self._rows("SELECT site, count(*) AS duplicate_ids FROM repeated GROUP BY site")
        for row in (*repeated, *self._rows("FROM counts"), *self._rows("FROM fates")):
            site = row.pop("site")
            eligible[site] = row.pop("eligible", eligible[site])
            for name, value in row.items():
                setattr(counts[site], name, value)
        return counts, eligible

    def _rows(self, query: str) -> list[dict[str, Any]]:
        result = self._connection.execute(query)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def _fetched(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with _interruptible(self._connection):
            return self._connection.execute(query, values or None).fetchall()

    def link(self) -> None:
        """Find the threads that the drawn questions are linked with, and the posts whose texts are needed."""
        self._run(_LINK)

    def pool(self, site: int) -> list[int]:
        """The sorted ids of a site's answers from which negatives are taken."""
        rows = self._fetched("SELECT post_id FROM pool WHERE site = $site ORDER BY post_id", site=site)
        return [post_id for (post_id,) in rows]

    def answers(self, site: int) -> list[QuestionWithAnswers]:
        """The candidate answers of a site's drawn questions, sorted by question."""
        rows = self._fetched(_ANSWERS, site=site)
        return [
            QuestionWithAnswers(thread, own, [(post["site"], post["post_id"]) for post in linked], near)
            for thread, own, linked, near in rows
        ]

    def keep_texts(self, values: PostValues) -> None:
        """Copy the posts whose texts are needed to `values`, in one pass over all posts."""
        with _interruptible(self._connection):
            result = self._connection.execute(_TEXTS.replace("{folder}", _quoted(self._folder)))
            while rows := result.fetchmany(_TOGETHER):
                values.add((site, post_id, (self._sites[site], post_id, *rest)) for site, post_id, *rest in rows)

    def give_back(self) -> None:
        """Free the memory of the past steps, by connecting anew."""
        self._connection.close()
        self._connection = self._connect()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _run(self, statements: str, **values: Any) -> None:
        for statement in statements.replace("{folder}", _quoted(self._folder)).split(";\n"):
            named: Mapping[str, Any] = {name: value for name, value in values.items() if f"${name}" in statement}
            if statement.strip():
                self._fetched(statement, **named)


@contextmanager
def _interruptible(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let a signal interrupt a query and raise it again afterwards: DuckDB would replace an error of the handler."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def take(number: int, _: FrameType | None) -> None:
        received.append(number)
        connection.interrupt()

    handlers = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except duckdb.InterruptException:
        if not received:
            raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def _quoted(folder: Path) -> str:
    return str(folder).replace("'", "''")
