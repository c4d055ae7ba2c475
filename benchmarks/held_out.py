"""Real questions that nothing here is trained on, each with the candidates that every system orders.

INTERANK_REAL_DATA names the folder with them. `sites` are all usable questions of two StackExchange sites, pooled: what
votes and acceptance say of a site's answers is the truth, and the candidates are BM25's first of all answers of the
site. SciFact, Cranfield, DL19 and BRIGHT's AoPS have human judgments; their candidates are the first of the run that
comes with them. `fit` are questions of the sites that the starter learns from, those that it does not learn.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from distill_quality import CANDIDATES, SEED, Site, site_of

from interank.ir.benchmarks import Benchmark, load_benchmark, load_tasks
from interank.judgments import read_judgments
from interank.mining import Tally, find_dumps, read_rows
from interank.types import Query, Run

HELD_OUT = ("coffee.stackexchange.com", "archives/meta.avp.stackexchange.com.7z")
FIT = "fit"
FIT_QUESTIONS = 20
"""Of each site that is learned from."""
ALL = 1_000_000
MOST: Mapping[str, int] = {"sites": ALL, "scifact": 60, "cranfield": 60, "dl19": ALL, "aops": ALL}
"""At most so many queries of each set, a seeded sample."""


def load(name: str, judgments: Path, most: int | None = None) -> Site:
    """A set by its name; `judgments` are those that were learned from."""
    if name == FIT:
        return fit_questions(judgments)
    number = min(MOST[name], most or ALL)
    if name == "sites":
        return sampled(pooled([site_of(folder(site), ALL, frozenset(), "site") for site in HELD_OUT]), number)
    return sampled(as_site(BENCHMARKS[name](real_data())), number)


def real_data() -> Path:
    """The folder of all that is there."""
    return Path(os.environ["INTERANK_REAL_DATA"])


def folder(site: str) -> Path:
    """A StackExchange site's dump."""
    return real_data() / "stackexchange" / site


BENCHMARKS: Mapping[str, Callable[[Path], Benchmark]] = {
    "scifact": lambda data: load_benchmark(data / "beir" / "scifact", "test"),
    "cranfield": lambda data: load_benchmark(data / "classic" / "cranfield"),
    "dl19": lambda data: load_tasks(data / "trecdl")[0],
    "aops": lambda data: load_benchmark(data / "bright" / "aops_text"),
}


def as_site(read: Benchmark) -> Site:
    """A benchmark with the first candidates of its own run, less what queries exclude."""
    if read.run is None:
        raise SystemExit(f"{read.name} was found without a run; put its BM25 run beside it")
    candidates = read.run.without(read.excluded).top(CANDIDATES)
    return Site(read.name, list(read.queries.values()), read.documents(), list(read.qrels), candidates)


def pooled(sites: list[Site]) -> Site:
    """Several sites as one; each question keeps the candidates of its own."""
    rankings = {query.query_id: site.candidates[query.query_id] for site in sites for query in site.queries}
    return Site(
        ", ".join(site.name for site in sites),
        [query for site in sites for query in site.queries],
        {doc_id: document for site in sites for doc_id, document in site.corpus.items()},
        [qrel for site in sites for qrel in site.qrels],
        Run(rankings, tag="bm25"),
    )


def sampled(site: Site, number: int) -> Site:
    """A seeded sample of the queries, with what is judged of them."""
    queries = site.queries
    if number < len(queries):
        chosen = set(random.Random(SEED).sample([query.query_id for query in queries], number))
        queries = [query for query in queries if query.query_id in chosen]
    names = {query.query_id for query in queries}
    qrels = [qrel for qrel in site.qrels if qrel.query_id in names]
    return replace(site, queries=queries, qrels=qrels, candidates=site.candidates.only(names))


def fit_questions(judgments: Path) -> Site:
    """Questions of the sites that were learned from, which are validation questions or were not taken."""
    examples = read_judgments(judgments)
    learned = frozenset(item.query.query_id for item in examples if item.split == "train")
    sites = sorted({item.source.site for item in examples})
    return pooled([site_of(folder(site), FIT_QUESTIONS, learned, "site") for site in sites])


def reachable(site: Site) -> list[Query]:
    """The queries that have a relevant candidate: any order of the others' scores 0, so that nothing need be read."""
    relevant = {(qrel.query_id, qrel.doc_id) for qrel in site.qrels if qrel.relevance > 0}
    return [
        query
        for query in site.queries
        if any((query.query_id, doc_id) in relevant for doc_id in site.candidates.doc_ids(query.query_id))
    ]


def asked_on() -> dict[str, str]:
    """When each of the held-out sites' posts was written, by its id."""
    found = {}
    for dump in (dump for site in HELD_OUT for dump in find_dumps(folder(site))):
        for row in read_rows(dump.tables["Posts"], Tally()):
            found[f"{dump.site}/{row.integer('Id')}"] = row.text("CreationDate")
    return found
