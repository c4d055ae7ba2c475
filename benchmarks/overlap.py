"""What each way of finding a benchmark's texts catches, catches alone, and takes for a text that it is not.

    INTERANK_REAL_DATA=DIR python benchmarks/overlap.py --json overlap.json

Asked of BRIGHT's queries after each edit of `tests/ir/overlap/test_edits.py`, of the first lines of those queries above
other texts, of documents of SciFact and AoPS after the same edits, and of the real dumps, whose truth is that of
`tests/ir/overlap/test_real_dumps.py`. A way catches alone what no other way does.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from interank.ir.overlap import BenchmarkIndex, BenchmarkQuery, BenchmarkTexts, Checkable, contaminated, read_texts
from interank.ir.overlap.benchmark import Target
from interank.ir.overlap.index import How, batches
from interank.ir.overlap.matching import _HOWS, _all_matches, _is_contaminated
from tests.ir.overlap.test_edits import EDITS, ENOUGH_WORDS, HEAVY, Edit
from tests.ir.overlap.test_real_dumps import CLEAN, CONTAMINATED, pairs_by_brute_force
from tests.support.dumps import checkables

# What a way costs beside the words of the texts, which all need.
FUNCTIONS = {
    "post id, url": ["_references"],
    "exact": ["_whole"],
    "minhash": ["sketch", "candidates"],
    "shingles": ["_shingle_matches"],
    "words and titles": ["weigh", "similar"],
}

Ways = dict[tuple[str, str, Target], set[How]]


def found_ways(items: Iterable[Checkable], index: BenchmarkIndex) -> Ways:
    """By site, post and target, all ways that would remove the post."""
    ways: Ways = defaultdict(set)
    for batch in batches(items, 512):
        for target, match in _all_matches(batch, index):
            if _is_contaminated(match, target):
                item = batch[match.asking]
                ways[item.site, item.post_id, target].add(match.how)
    return ways


class Tally:
    """How often each way found a pair that is one, was the only one to, and found a pair that is none."""

    def __init__(self) -> None:
        self.asked = 0
        self.missed = 0
        self.caught: Counter[str] = Counter()
        self.alone: Counter[str] = Counter()
        self.false: Counter[str] = Counter()
        self.false_alone: Counter[str] = Counter()

    def add(self, true: Iterable[set[How]], false: Iterable[set[How]], asked: int) -> None:
        """Count pairs by the ways that found them; those that no way found are missing among the true ones."""
        self.asked += asked
        found = 0
        for ways in true:
            found += 1
            self.caught.update(ways)
            self.alone.update(ways if len(ways) == 1 else ())
        self.missed += asked - found
        for ways in false:
            self.false.update(ways)
            self.false_alone.update(ways if len(ways) == 1 else ())

    def to_json(self) -> dict[str, object]:
        """The counts."""
        return {name: value if isinstance(value, int) else dict(value) for name, value in vars(self).items()}


def edited(
    queries: Sequence[BenchmarkQuery],
    edit: Edit,
    index: BenchmarkIndex,
    tally: Tally,
    kind: Literal["question", "document"] = "question",
) -> None:
    """Ask for the texts as an edit leaves them."""
    rng = random.Random(7)
    items = [Checkable("x", str(n), kind, edit(query.text, rng)) for n, query in enumerate(queries)]
    counted(items, [query.query_id for query in queries], index, tally)


def counted(items: Sequence[Checkable], ids: Sequence[str], index: BenchmarkIndex, tally: Tally) -> None:
    """Ask for items, of which each is the text of that id and of no other."""
    true: dict[str, set[How]] = {}
    false = []
    for (_, post_id, target), ways in found_ways(items, index).items():
        if target.item_id == ids[int(post_id)]:
            true[post_id] = true.get(post_id, set()) | ways
        else:
            false.append(ways)
    tally.add(true.values(), false, len(items))


def bright_queries(data: Path) -> list[BenchmarkQuery]:
    """BRIGHT's queries of words, of any length."""
    return [
        BenchmarkQuery(f"{texts.task}/{query.query_id}", query.text)
        for texts in read_texts(data / "bright" / "topics")
        for query in texts.queries
        if texts.task not in ("aops", "pony")
    ]


def of_queries(data: Path) -> dict[str, Tally]:
    """The edits, light and heavy, on long queries and on short ones, and other texts under a query's first line."""
    queries = bright_queries(data)
    lengths = {query.query_id: len(query.text.split()) for query in queries}
    long = [query for query in queries if lengths[query.query_id] >= ENOUGH_WORDS]
    short = [query for query in queries if lengths[query.query_id] < ENOUGH_WORDS]
    index = BenchmarkIndex([BenchmarkTexts("b", "t", tuple(queries))])
    found = {name: Tally() for name in ("light edits, 60 words or more", "heavy edits, 60 words or more")}
    found |= {
        name: Tally() for name in ("light edits, shorter", "light edits, as pages", "the first line, another body")
    }
    for edit in EDITS.values():
        edited(queries, edit, index, found["light edits, as pages"], kind="document")
        edited(long, edit, index, found["light edits, 60 words or more"])
        edited(short, edit, index, found["light edits, shorter"])
    for edit in HEAVY.values():
        edited(long, edit, index, found["heavy edits, 60 words or more"])
    bodies = [post.text for post in checkables(data / "stackexchange" / CLEAN[0]) if post.kind == "question"]
    lined = [query for query in queries if "\n" in query.text.strip() and len(query.text.split("\n")[0].split()) > 3]
    firsts = Counter(query.text.strip().split("\n")[0] for query in lined)
    lined = [query for query in lined if firsts[query.text.strip().split("\n")[0]] == 1]
    items = [
        Checkable("x", str(n), "question", f"{query.text.strip().splitlines()[0]}\n{bodies[n % len(bodies)]}", str(n))
        for n, query in enumerate(lined)
    ]
    counted(items, [query.query_id for query in lined], index, found["the first line, another body"])
    return found


def of_documents(data: Path) -> dict[str, Tally]:
    """The edits on a benchmark's documents, asked for as pages."""
    found = {"documents, light edits": Tally(), "documents, heavy edits": Tally()}
    texts = [each for folder in ("beir/scifact", "bright/aops_text") for each in read_texts(data / folder)]
    index = BenchmarkIndex(texts)
    kept: list[tuple[str, str]] = []
    for each in texts:
        if each.documents:
            sample = random.Random(0).sample(list(each.documents()), 300)
            kept += [(document.doc_id, document.text) for document in sample]
    for name, edits in zip(found, (EDITS, HEAVY), strict=True):
        for edit in edits.values():
            rng = random.Random(7)
            items = [Checkable("x", str(n), "document", edit(text, rng)) for n, (_, text) in enumerate(kept)]
            counted(items, [doc_id for doc_id, _ in kept], index, found[name])
    return found


def of_dumps(data: Path) -> dict[str, Tally]:
    """Every question and answer of four sites against BRIGHT's queries and answers."""
    topics = read_texts(data / "bright" / "topics")
    posts = {site: checkables(data / "stackexchange" / site) for site in (CONTAMINATED, *CLEAN)}
    truth = pairs_by_brute_force(posts, topics)
    index = BenchmarkIndex(topics)
    found = {"dumps, questions": Tally(), "dumps, answers of those questions": Tally()}
    threads = {post_id for _, post_id, *_ in truth}
    questions: dict[bool, list[set[How]]] = {True: [], False: []}
    others: dict[bool, list[set[How]]] = {True: [], False: []}
    for items in posts.values():
        kinds = {(post.site, post.post_id): post for post in items}
        for (site, post_id, target), ways in found_ways(items, index).items():
            post = kinds[site, post_id]
            if post.kind == "question" and target.part == "query":
                questions[(site, post_id, target.task, target.item_id) in truth].append(ways)
            else:
                others[site == CONTAMINATED and (post.thread_id or post_id) in threads].append(ways)
    found["dumps, questions"].add(questions[True], questions[False], len(truth))
    found["dumps, answers of those questions"].add(others[True], others[False], len(others[True]))
    return found


def costs(data: Path) -> dict[str, float]:
    """The share of each way in the processor's time for all posts of the dumps; titles are weighed as words are."""
    posts = [post for site in (CONTAMINATED, *CLEAN) for post in checkables(data / "stackexchange" / site)]
    index = BenchmarkIndex(read_texts(data / "bright" / "topics"))
    profile = cProfile.Profile()
    profile.runcall(contaminated, posts, index)
    spent: dict[str, float] = defaultdict(float)
    for entry in profile.getstats():
        if not isinstance(entry.code, str) and "overlap" in entry.code.co_filename:
            spent[entry.code.co_name] += entry.totaltime
    return {
        way: round(sum(spent[name] for name in names) / spent["contaminated"], 3) for way, names in FUNCTIONS.items()
    }


def main() -> None:
    """Measure, print a table, and write the figures where they are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    data = Path(os.environ["INTERANK_REAL_DATA"])
    figures: dict[str, object] = {"costs": (spent := costs(data))}
    print(spent)
    for measure in (of_dumps, of_queries, of_documents):
        for name, tally in measure(data).items():
            figures[name] = tally.to_json()
            print(f"\n{name}: {tally.asked} asked, {tally.missed} missed")
            print("| way | caught | alone | false | false, alone |\n|---|---|---|---|---|")
            for how in _HOWS:
                row = (tally.caught[how], tally.alone[how], tally.false[how], tally.false_alone[how])
                print(f"| {how} | {' | '.join(map(str, row))} |")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
