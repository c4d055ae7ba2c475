"""The report's page at BRIGHT's size: how long it takes to write, how large it is, how soon it opens in Chromium."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

from interank.evaluation.candidates import Task
from interank.evaluation.page import Provenance, write_page
from interank.evaluation.rankings import Evaluation, Rankings, Scoring
from interank.evaluation.scoring import FIRST_STAGE, score_systems
from interank.evaluation.systems import reranked_run
from interank.recipe import EvaluateRecipe
from interank.types import Document, Qrel, Query, Run, ScoredDoc

QUERIES, TASKS, DEPTH = 1384, 12, 100  # as many as BRIGHT has, each with the first hundred documents
RERANKERS = ("student", "rl")
# Documents that a query does not share with others, of its hundred.
OWN = 60
WORDS = 120  # a document's, on average; BRIGHT's passages have fewer on most tasks
LARGEST_MB, SLOWEST_SECONDS = 30.0, 2.0


class Writer:
    """Words as unevenly frequent as those of a language (Zipf), so that they compress as a text does, or worse."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        letters = "etaoinshrdlucmfwypvbgk"
        self.words = ["".join(self.rng.choices(letters, k=self.rng.randint(2, 10))) for _ in range(30_000)]
        self.weights = list(accumulate(1 / rank for rank in range(1, len(self.words) + 1)))

    def text(self, words: int) -> str:
        """About so many words."""
        count = max(5, int(self.rng.expovariate(1 / words)))
        return " ".join(self.rng.choices(self.words, cum_weights=self.weights, k=count))


def made_task(place: int, writer: Writer) -> Task:
    """Queries of one task; every tenth candidate is judged."""
    count = QUERIES // TASKS + (place < QUERIES % TASKS)
    shared = [Document(f"shared-{n}", writer.text(WORDS)) for n in range(DEPTH * 3)]
    corpus = {document.doc_id: document for document in shared}
    queries, qrels, rows = [], [], {}
    for number in range(count):
        queries.append(Query(f"{place}-{number}", writer.text(150)))
        own = [Document(f"{place}-{number}-{n}", writer.text(WORDS)) for n in range(OWN)]
        corpus |= {document.doc_id: document for document in own}
        found = [d.doc_id for d in own] + [d.doc_id for d in writer.rng.sample(shared, DEPTH - OWN)]
        writer.rng.shuffle(found)
        qrels += [Qrel(f"{place}-{number}", doc_id, writer.rng.randint(0, 2)) for doc_id in found[::10]]
        rows[f"{place}-{number}"] = [
            ScoredDoc(f"{place}-{number}", doc_id, float(DEPTH - rank)) for rank, doc_id in enumerate(found)
        ]
    facts = {"first_stage": "bm25", "tag": "made", "first_stage_queries": "original", "depth": DEPTH, "ties": "none"}
    facts |= {"digest": "0" * 64, "queries": count, "qrels": "made", "excluded_candidates_removed": 0}
    facts |= {"met": {}, "sources": {}}
    return Task(f"task-{place}", queries, qrels, Run(rows, tag="made"), corpus, facts=facts)


def rankings(task: Task, rng: random.Random, writer: Writer) -> Rankings:
    """Random probabilities, and explanations of the first three documents."""
    rows: Rankings = {}
    for query in task.queries:
        found = []
        for doc_id in task.candidates.doc_ids(query.query_id):
            weights = [rng.random() for _ in range(3)]
            chances = [weight / sum(weights) for weight in weights]
            found.append({"doc_id": doc_id, "score": chances[1] + 2 * chances[2], "probabilities": chances})
        found.sort(key=lambda item: -float(item["score"]))  # type: ignore[arg-type]
        for place, item in enumerate(found):
            item["explanation"] = writer.text(60) if place < 3 else None
        rows[task.name, query.query_id] = {"ranking": found, "seconds": rng.random()}
    return rows


def made(seed: int) -> tuple[EvaluateRecipe, Evaluation]:
    """An evaluation of BRIGHT's size."""
    writer = Writer(seed)
    tasks = [made_task(place, writer) for place in range(TASKS)]
    ranked: dict[str, Rankings] = {name: {} for name in RERANKERS}
    for name, rows in ranked.items():
        for task in tasks:
            rows |= rankings(task, random.Random(f"{seed} {name} {task.name}"), writer)
    runs = {FIRST_STAGE: {task.name: task.candidates for task in tasks}}
    runs |= {name: {task.name: reranked_run(rows, task, name) for task in tasks} for name, rows in ranked.items()}
    recipe = EvaluateRecipe(stage="evaluate", benchmark=Path("made"), explain=3)
    costs = {FIRST_STAGE: {"seconds": 1.0}} | {name: {"seconds": 700.0} for name in RERANKERS}
    return recipe, Evaluation(tasks, runs, ranked, {}, costs, [])


def opening(browser: Browser, path: Path) -> tuple[float, float]:
    """Seconds from asking for the file to seeing its rankings, and then to another query with its texts."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    start = time.perf_counter()
    page.goto(path.resolve().as_uri())
    page.wait_for_selector("html.ready")
    seen = time.perf_counter() - start
    name = page.locator("#query-name").inner_text()
    start = time.perf_counter()
    page.keyboard.press("j")
    expect(page.locator("#query-name")).not_to_have_text(name)
    # The last document shows the beginning of its text, which took the place of its id.
    expect(page.locator("#right-list .what").last).to_have_text(re.compile(" "))
    stepped = time.perf_counter() - start
    page.context.close()
    return seen, stepped


def measured(rounds: int, seed: int) -> dict[str, Any]:
    """All figures."""
    recipe, found = made(seed)
    results = score_systems(found.tasks, found.runs, recipe.measures, seed=seed)
    costs = {name: {"seconds": each["seconds"] / QUERIES} for name, each in found.costs.items()}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder, "report.html")
        start = time.process_time()
        write_page(path, Scoring.of(recipe), found, results, costs, Provenance("made"))
        written = time.process_time() - start
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        times = [opening(browser, path) for _ in range(rounds)]
        version = browser.version
        browser.close()
        cut = "are cut after" in path.read_text("utf-8")
        size = path.stat().st_size
    texts = {(task.name, doc_id) for task in found.tasks for doc_id in task.corpus or ()}
    return {
        "documents": len(texts),
        "characters_mb": sum(len(d.text) for task in found.tasks for d in (task.corpus or {}).values()) / 1e6,
        "size_mb": size / 1e6,
        "texts_cut": cut,
        "write_seconds": written,
        "open_seconds": statistics.median(seen for seen, _ in times),
        "open_seconds_slowest": max(seen for seen, _ in times),
        "next_query_seconds": statistics.median(stepped for _, stepped in times),
        "chromium": version,
    }


def main() -> int:
    """Measure, print, and fail where the page is too large or too slow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = measured(options.rounds, options.seed)
    found |= {"machine": platform.platform(), "cores": os.cpu_count(), "date": datetime.date.today().isoformat()}
    for name, value in found.items():
        print(f"{name:<22} {value:.3f}" if isinstance(value, float) else f"{name:<22} {value}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return int(found["size_mb"] > LARGEST_MB or found["open_seconds"] > SLOWEST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
