"""Reading and scoring a stored run, beside pytrec_eval alone on the same files: 1,384 queries, 1,000 documents each."""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytrec_eval

from interank.ir.measures import score_run
from interank.ir.trec import read_qrels, read_run

QUERIES = 1384  # as many as BRIGHT has
DEPTH = 1000
MEASURES = {
    "nDCG@1": "ndcg_cut_1",
    "nDCG@5": "ndcg_cut_5",
    "nDCG@10": "ndcg_cut_10",
    "nDCG@20": "ndcg_cut_20",
    "MAP": "map",
    "MRR": "recip_rank",
    "Recall@100": "recall_100",
}

PerQuery = dict[str, dict[str, float]]


def write_files(folder: Path, seed: int) -> tuple[Path, Path]:
    """A run with falling scores of six decimals, and six judgments a query."""
    rng = random.Random(seed)
    qrels, run = folder / "qrels.txt", folder / "run.trec"
    with qrels.open("w") as judgments, run.open("w") as ranking:
        for query in range(QUERIES):
            documents = rng.sample(range(400_000), DEPTH)
            scores = sorted((rng.uniform(0, 40) for _ in documents), reverse=True)
            for rank, (document, score) in enumerate(zip(documents, scores, strict=True), start=1):
                ranking.write(f"q{query} Q0 d{document} {rank} {score:.6f} made\n")
            for document in rng.sample(documents, 6):
                judgments.write(f"q{query} 0 d{document} {rng.randint(0, 2)}\n")
    return qrels, run


def ours(qrels: Path, run: Path) -> PerQuery:
    """Every check that we make included."""
    return score_run(read_qrels(qrels), read_run(run), tuple(MEASURES)).per_query


def pytrec_eval_alone(qrels: Path, run: Path) -> PerQuery:
    """Its own readers and its evaluator."""
    with qrels.open() as lines:
        judged = pytrec_eval.parse_qrel(lines)
    with run.open() as lines:
        ranked = pytrec_eval.parse_run(lines)
    found = pytrec_eval.RelevanceEvaluator(judged, set(MEASURES.values())).evaluate(ranked)
    return {name: {query: found[query][theirs] for query in judged} for name, theirs in MEASURES.items()}


def seconds_of(what: Callable[[Path, Path], PerQuery], qrels: Path, run: Path) -> tuple[float, PerQuery]:
    """How long one call takes, and what it gives."""
    gc.collect()
    start = time.process_time()
    result = what(qrels, run)
    return time.process_time() - start, result


def measure(rounds: int) -> dict[str, float | int | str]:
    """Both in turn, `rounds` times; their results must be equal."""
    with tempfile.TemporaryDirectory() as folder:
        qrels, run = write_files(Path(folder), seed=0)
        # The first call imports what the later ones have.
        if ours(qrels, run) != pytrec_eval_alone(qrels, run):
            sys.exit("the two score differently: nothing to compare")
        times: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(rounds):
            times["ours"].append(seconds_of(ours, qrels, run)[0])
            times["theirs"].append(seconds_of(pytrec_eval_alone, qrels, run)[0])
    ratios = [theirs / ours for theirs, ours in zip(times["theirs"], times["ours"], strict=True)]
    return {
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "date": datetime.date.today().isoformat(),
        "queries": QUERIES,
        "depth": DEPTH,
        "rounds": rounds,
        "ours_seconds": round(statistics.median(times["ours"]), 3),
        "pytrec_eval_seconds": round(statistics.median(times["theirs"]), 3),
        "score_vs_pytrec_eval": round(statistics.median(ratios), 3),
    }


def main() -> None:
    """Measure, print, and write the figures where they are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured (default: 7)")
    options = parser.parse_args()
    figures = measure(options.rounds)
    for name, value in figures.items():
        print(f"{name:22} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
