"""How fast the reader of dumps is beside ElementTree, and what memory it takes.

    python benchmarks/mining.py [--json FILE] [--mb 1000] [--peak-mb 1000] [--rounds 7] [--posts 200000]
        [--reference COMMIT]
    python benchmarks/mining.py --outline 60000000 [--json FILE]

Makes a Posts.xml of the shape of real ones (1.6 KB a row, bodies escaped, CRLF) in a temporary folder. Both sides read
it in turns in one run and have to give the same; ratios are of the medians. Peaks are the memory of all processes of
the run together, sampled ten times a second: `peak_mb` counts a page that several have mapped once, as Linux shares it
out among them, `resident_mb` as often as it is mapped. `--outline` draws and links so many made posts without texts, as
stored Parquet, and tells seconds and the most memory: what DuckDB has to hold of a site, whatever its texts are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from html import escape
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil

from interank.mining import Row, Table, Tally, read_rows
from interank.settings import MiningRecipe

Rows = list[tuple[str, int]]


def made_dump(folder: Path, *, size: float = float("inf"), posts: float = float("inf"), seed: int = 1) -> Path:
    """Write a Posts.xml up to a size or a number of posts."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(30_000)]
    common = words[:300]

    def paragraph() -> str:
        chosen = [rng.choice(common if rng.random() < 0.6 else words) for _ in range(rng.randint(20, 90))]
        return f"<p>{' '.join(chosen)} &amp; <code>x &lt; {rng.randint(0, 99)}</code></p>\n\n"

    bodies = [
        escape("".join(paragraph() for _ in range(rng.randint(1, 6)))).replace("\n", "&#xA;") for _ in range(5_000)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "Posts.xml").open("w", encoding="utf-8", newline="") as file:
        written = file.write('\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n<posts>\r\n')
        number = question = 0
        while written < size and number < posts:
            number += 1
            # Bodies repeat in a large file; a paragraph of its own tells each post from the others.
            own = escape(f"<p>{' '.join(rng.choices(words, k=12))}</p>")
            body = f"{own}{rng.choice(bodies)}"
            dates = 'CreationDate="2019-01-01T00:00:00.000"'
            rest = f'OwnerUserId="{number % 999}" LastActivityDate="2019-01-02T00:00:00.000"'
            if number % 3 == 1:
                question = number
                row = (
                    f'Id="{number}" PostTypeId="1" AcceptedAnswerId="{number + 1}" {dates} '
                    f'Score="{rng.randint(-3, 95)}" ViewCount="7" Body="{body}" {rest} '
                    f'Title="About {number} &quot;it&quot;" Tags="&lt;a&gt;&lt;b&gt;" AnswerCount="2" '
                    'CommentCount="0" ContentLicense="CC BY-SA 4.0"'
                )
            else:
                row = (
                    f'Id="{number}" PostTypeId="2" ParentId="{question}" {dates} Score="{rng.randint(-3, 40)}" '
                    f'Body="{body}" {rest} CommentCount="0" ContentLicense="CC BY-SA 4.0"'
                )
            written += file.write(f"  <row {row} />\r\n")
        file.write("</posts>")
    return folder / "Posts.xml"


def element_tree(path: Path) -> Iterator[dict[str, str]]:
    """The rows as most who read dumps in Python have them."""
    for _, element in ElementTree.iterparse(path):
        if element.tag == "row":
            yield element.attrib
        element.clear()


def full_by_element_tree(path: Path) -> Rows:
    """Something of every row, by ElementTree."""
    return [(attributes["Id"], len(attributes["Body"])) for attributes in element_tree(path)]


def full(path: Path) -> Rows:
    """Something of every row, by interank: as mining surveys a dump, where the rows are read."""
    from interank.mining.parts import work_through

    return [found for part in work_through(Table(path), _told, Tally()) for found in part]


def _told(rows: Iterator[Row], tally: Tally) -> Rows:
    return [(row.attributes["Id"], len(row.attributes["Body"])) for row in rows]


def side_by_side(path: Path, sides: dict[str, Callable[[Path], Any]], rounds: int) -> dict[str, list[float]]:
    """The seconds of each side; they take turns and have to agree."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        results = []
        for name, side in sides.items():
            start = time.perf_counter()
            results.append(side(path))
            times[name].append(round(time.perf_counter() - start, 3))
        assert results[0] == results[1]
    return times


def ratio(times: dict[str, list[float]]) -> float:
    """How many times faster the second side is."""
    theirs, ours = (statistics.median(seconds) for seconds in times.values())
    return round(theirs / ours, 2)


def mined(site: Path, draw: Path, *, earlier: bool) -> dict[str, Any]:
    """Mine a site and write what was drawn; or mine what was drawn, by earlier code."""
    settings = MiningRecipe(questions=20_000)
    with tempfile.TemporaryDirectory() as folder:
        if earlier:
            counts, pairs = mined_earlier(site, settings, json.loads(draw.read_text()))
        else:
            import duckdb

            from interank.mining import mine_in

            steps = told_by_steps()
            found = mine_in(Path(folder), [site], settings, 42)
            counts, pairs = found.counts, found.pairs
            with duckdb.connect(str(Path(folder) / "mining.duckdb")) as database:
                drawn = database.execute("SELECT thread FROM drawn ORDER BY key, site, thread").fetchall()
                pool = database.execute("SELECT post_id FROM pool ORDER BY post_id").fetchall()
            draw.write_text(json.dumps({"drawn": [one for (one,) in drawn], "pool": [one for (one,) in pool]}))
        digest = hashlib.sha256()
        for pair in pairs:
            told = (pair.query.query_id, pair.query.text, pair.document.doc_id, pair.document.text, pair.split)
            digest.update(repr((*told, pair.origin, pair.source)).encode())
    [own] = counts.values()
    figures = {"posts": own["questions"] + own["answers"], "pairs": own["pairs"], "digest": digest.hexdigest()[:16]}
    return figures if earlier else figures | {"steps": {step: round(seconds, 1) for step, seconds in steps.items()}}


def made_outline(folder: Path, posts: int) -> None:
    """Store a site's posts without texts, three to a thread, and a link for every twelve posts."""
    import duckdb

    words = "".join(f", '' AS {name}" for name in ("title", "html", "author", "owner", "licence", "url"))
    tables = {
        "posts-0": f"""SELECT 0::INTEGER AS site, id AS post_id, id % 3 = 1 AS question,
            CASE WHEN id % 3 = 1 THEN id + 1 ELSE id - (id + 2) % 3 END AS other,
            (hash(id) % 43)::BIGINT - 3 AS score, true AS fits, false AS declined{words}
            FROM range(1, {posts} + 1) r(id)""",
        "links-0": f"""SELECT 0::INTEGER AS site, (3 * i + 1)::BIGINT AS post_id, 0::INTEGER AS related_site,
            (3 * ((i * 7919) % ({posts} // 3)) + 1)::BIGINT AS related_id, i % 10 = 0 AS duplicate
            FROM range({posts} // 12) r(i)""",
        "users-0": "SELECT 0::INTEGER AS site, '' AS owner, '' AS name LIMIT 0",
    }
    with duckdb.connect(config={"memory_limit": "1GB", "temp_directory": str(folder)}) as made:
        for name, rows in tables.items():
            made.execute(f"COPY ({rows}) TO '{folder}/{name}.parquet' (FORMAT parquet, COMPRESSION zstd)")


def outlined(folder: Path) -> dict[str, float]:
    """Draw 20,000 of the stored questions and find what they are linked with."""
    from interank.mining.database import Database

    took = {}
    begun = time.perf_counter()
    database = Database(folder, ["mine.example.com"], MiningRecipe(questions=20_000), 42)
    took["read_s"] = time.perf_counter() - begun
    for name in ("draw", "link"):
        begun = time.perf_counter()
        getattr(database, name)()
        took[f"{name}_s"] = time.perf_counter() - begun
    database.close()
    return {name: round(seconds, 1) for name, seconds in took.items()}


def told_by_steps() -> dict[str, float]:
    """Adds up the seconds of each step of mining from now on."""
    from interank.mining import pairs
    from interank.mining.assembly import Assembly
    from interank.mining.choosing import SiteContext
    from interank.mining.database import Database

    seconds: dict[str, float] = {}

    def timed(owner: Any, name: str, step: str) -> None:
        work = getattr(owner, name)

        def run(*given: Any, **more: Any) -> Any:
            begun = time.perf_counter()
            try:
                return work(*given, **more)
            finally:
                seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - begun

        setattr(owner, name, run)

    timed(pairs, "store_once", "read, to Parquet")
    for name in ("draw", "link"):
        timed(Database, name, "threads, draw, links")
    timed(Database, "keep_texts", "texts of what was drawn and of the pool")
    timed(SiteContext, "make_index", "BM25's index of the pool")
    timed(Assembly, "_collected", "documents chosen by BM25, questions to text")
    timed(Assembly, "_keep_texts", "documents to text")
    timed(Assembly, "repeats", "near-duplicates")
    return seconds


def mined_earlier(site: Path, settings: MiningRecipe, draw: dict[str, list[int]]) -> tuple[Any, Any]:
    """Mine what was drawn by code that held all posts in memory."""
    from interank.mining import pairs

    name = site.name
    pairs._draw = lambda *_: [pairs.Drawn(name, post_id) for post_id in draw["drawn"]]
    pairs._Miner._pool = lambda _: draw["pool"]
    found = pairs.mine([site], settings, 42)
    return found.counts, found.pairs


def mining_side_by_side(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds and peak of mining a site, and of an earlier commit's code with the same draw."""
    site = made_dump(folder / "mine.example.com", posts=arguments.posts).parent
    draw = folder / "draw.json"
    ran = peak_of("--mine", str(site), "--draw", str(draw))
    figures = {**json.loads(ran.said), **_told_of(ran)}
    if arguments.reference:
        command = ("--mine", str(site), "--draw", str(draw), "--earlier")
        ran = peak_of(*command, code=folder / "earlier")
        earlier = json.loads(ran.said)
        assert {name: figures[name] for name in earlier} == earlier
        figures |= {f"earlier_{name}": value for name, value in _told_of(ran).items()}
        figures["seconds_vs_earlier"] = round(figures["seconds"] / ran.seconds, 3)
    return figures


def unpack(commit: str, code: Path) -> None:
    """Write a commit's package into a folder."""
    archive = ["git", "-C", str(Path(__file__).parents[1]), "archive", commit, "interank"]
    packed = subprocess.run(archive, stdout=subprocess.PIPE, check=True)
    code.mkdir()
    subprocess.run(["tar", "x", "-C", str(code)], input=packed.stdout, check=True)


def _told_of(ran: Ran) -> dict[str, float]:
    figures = {"seconds": ran.seconds, "cpu_seconds": ran.cpu_seconds}
    return {**figures, "peak_mb": ran.peak_mb, "resident_mb": ran.resident_mb}


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command took, with its children, and what it printed."""

    peak_mb: float
    """The most that they held together, pages that they share counted once."""
    resident_mb: float
    """The same, such pages counted for each of them."""
    seconds: float
    cpu_seconds: float
    """Of all of them, up to the last sample."""
    said: str


def peak_of(*command: str, code: Path | None = None) -> Ran:
    """Run this file with these arguments, by other code where some is given."""
    start = time.perf_counter()
    place = {"PYTHONPATH": str(code)} if code else {}
    run = [sys.executable, str(Path(__file__).resolve()), *command]
    # Of the folder that they begin in, the processes that this one starts would import `interank` first.
    here = Path(__file__).parent
    done = subprocess.Popen(run, stdout=subprocess.PIPE, text=True, env={**os.environ, **place}, cwd=here)
    peak = most_resident = 0.0
    cpu: dict[int, float] = {}
    watched = psutil.Process(done.pid)

    def watch() -> None:
        nonlocal peak, most_resident
        while done.poll() is None:
            held = resident = 0
            try:
                for process in (watched, *watched.children(recursive=True)):
                    told = process.memory_full_info()
                    held, resident = held + told.pss, resident + told.rss
                    cpu[process.pid] = sum(process.cpu_times()[:2])
            except psutil.Error:
                continue
            peak, most_resident = max(peak, held / 1e6), max(most_resident, resident / 1e6)
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert done.stdout is not None
    said = done.stdout.read()
    watcher.join()
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}")
    return Ran(
        round(peak, 1),
        round(most_resident, 1),
        round(time.perf_counter() - start, 1),
        round(sum(cpu.values()), 1),
        said,
    )


def measured(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures."""
    if arguments.reference:
        unpack(arguments.reference, folder / "earlier")
    path = made_dump(folder / "ratio.example.com", size=arguments.mb * 1e6)
    for one, other in zip_longest(islice(element_tree(path), 20_000), islice(read_rows(Table(path)), 20_000)):
        assert one is not None
        assert other is not None
        assert one == other.attributes
    size = path.stat().st_size / 1e6
    load = os.getloadavg()[0]
    fully = side_by_side(path, {"ElementTree": full_by_element_tree, "interank": full}, arguments.rounds)
    path.unlink()
    large = made_dump(folder / "peak.example.com", size=arguments.peak_mb * 1e6)
    peak = peak_of("--read", str(large)).peak_mb
    large.unlink()
    mining = mining_side_by_side(arguments, folder) if arguments.posts else {}
    return {
        "full_vs_elementtree": ratio(fully),
        "mb_per_s": round(size / statistics.median(fully["interank"]), 1),
        "elementtree_mb_per_s": round(size / statistics.median(fully["ElementTree"]), 1),
        "peak_mb_at_1gb": peak,
        "mine": mining,
        "rounds": fully,
        "file_mb": round(size, 1),
        "peak_file_mb": arguments.peak_mb,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load": round(load, 2),
        "date": date.today().isoformat(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--mb", type=float, default=1_000, help="size of the file that ratios are taken on")
    parser.add_argument("--peak-mb", type=float, default=1_000, help="size of the file that the peak is taken on")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--posts", type=int, default=200_000, help="posts of the site that is mined; 0 mines none")
    parser.add_argument("--folder", type=Path, help="for the files; a temporary one by default")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--reference", help="the commit whose code mines the same draw")
    parser.add_argument("--outline", type=int, metavar="POSTS", help="draw and link so many posts without texts, alone")
    parser.add_argument("--outlined", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mine", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--draw", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--earlier", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        print(len(full(arguments.read)), sum(1 for _ in read_rows(Table(arguments.read))))
        return
    if arguments.outlined:
        print(json.dumps(outlined(arguments.outlined)))
        return
    if arguments.mine:
        print(json.dumps(mined(arguments.mine, arguments.draw, earlier=arguments.earlier)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        place = Path(folder).resolve()
        if arguments.outline:
            made_outline(place, arguments.outline)
            ran = peak_of("--outlined", str(place))
            figures = {"posts": arguments.outline, **json.loads(ran.said.splitlines()[-1]), **_told_of(ran)}
        else:
            figures = measured(arguments, place)
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    # Other processes look for what they are to do in a module with a name.
    from mining import main as named_main

    named_main()
