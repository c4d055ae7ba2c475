"""`interank evaluate` of stored runs, beside pytrec_eval alone on the same files, each a process of its own."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

QUERIES = 1384  # as many as BRIGHT has
DEPTH = 1000
DOCUMENTS = 20_000
MEASURES = {"nDCG@10": "ndcg_cut_10", "R@100": "recall_100"}

# What somebody would write who wants the means and nothing else.
ALONE = """
import json, sys
import pytrec_eval
qrels, *runs = sys.argv[1:]
judged = {}
with open(qrels) as lines:
    next(lines)
    for line in lines:
        query, document, relevance = line.split("\\t")
        judged.setdefault(query, {})[document] = int(relevance)
evaluator = pytrec_eval.RelevanceEvaluator(judged, {measures})
for path in runs:
    with open(path) as lines:
        found = evaluator.evaluate(pytrec_eval.parse_run(lines))
    print(json.dumps([sum(found[query][name] for query in judged) / len(judged) for name in {measures}]))
""".replace("{measures}", str(list(MEASURES.values())))


def write_benchmark(folder: Path, runs: int) -> list[Path]:
    """A benchmark folder with a judged handful a query, and as many runs that hold some of these."""
    rng = random.Random(0)
    documents = [f"doc{number:05d}" for number in range(DOCUMENTS)]
    judged = {f"q{number}": rng.sample(documents, 8) for number in range(QUERIES)}
    rows = [{"_id": name, "title": "", "text": f"the text of {name}"} for name in documents]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    rows = [{"_id": name, "text": f"the question {name}"} for name in judged]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    lines = [f"{query}\t{document}\t1\n" for query, found in judged.items() for document in found]
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), "utf-8")
    return [_write_run(folder / f"{name}.trec", judged, documents, rng) for name in "ABCDEFGH"[:runs]]


def _write_run(path: Path, judged: dict[str, list[str]], documents: list[str], rng: random.Random) -> Path:
    with path.open("w") as ranking:
        for query, relevant in judged.items():
            found = list(dict.fromkeys([*relevant[:5], *rng.sample(documents, DEPTH)]))[:DEPTH]
            rng.shuffle(found)
            for rank, document in enumerate(found, start=1):
                ranking.write(f"{query} Q0 {document} {rank} {DEPTH - rank + rng.random():.6f} {path.stem}\n")
    return path


def evaluate(folder: Path, runs: list[Path]) -> list[list[float]]:
    """The means of each run, as the evaluation artifact has them."""
    out = folder / "evaluation"
    shutil.rmtree(out, ignore_errors=True)
    benchmark = folder / "benchmark"
    command = [sys.executable, "-m", "interank.cli.app", "evaluate", "evaluate/benchmark", f"benchmark={benchmark}"]
    command += ["first_stage=null", f"run={runs[0]}", f"depth={DEPTH}", f"measures={','.join(MEASURES)}"]
    command += [f"runs={','.join(map(str, runs[1:]))}"] if runs[1:] else []
    subprocess.run([*command, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    systems = ["first stage", *(path.stem for path in runs[1:])]
    return [[metrics[system][measure]["mean"] for measure in MEASURES] for system in systems]


def pytrec_eval_alone(folder: Path, runs: list[Path]) -> list[list[float]]:
    """The means of each run, as trec_eval has them."""
    command = [sys.executable, "-c", ALONE, str(folder / "benchmark" / "qrels.tsv"), *map(str, runs)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def measure(rounds: int, count: int) -> dict[str, float | int | str]:
    """Both in turn; the means must be equal."""
    times: dict[str, list[float]] = {"evaluate": [], "pytrec_eval": []}
    worked: dict[str, list[float]] = {"evaluate": [], "pytrec_eval": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "benchmark").mkdir()
        runs = [path.rename(folder / path.name) for path in write_benchmark(folder / "benchmark", count)]
        for _ in range(rounds):
            means = []
            for side, what in (("evaluate", evaluate), ("pytrec_eval", pytrec_eval_alone)):
                start, before = time.perf_counter(), _processor_seconds()
                means.append(what(folder, runs))
                times[side].append(time.perf_counter() - start)
                worked[side].append(_processor_seconds() - before)
            pairs = [pair for sides in zip(*means, strict=True) for pair in zip(*sides, strict=True)]
            if any(abs(ours - theirs) > 1e-9 for ours, theirs in pairs):
                sys.exit(f"the two score differently: {means}")
    ratios = [ours / theirs for ours, theirs in zip(times["evaluate"], times["pytrec_eval"], strict=True)]
    return {
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "date": datetime.date.today().isoformat(),
        "queries": QUERIES,
        "depth": DEPTH,
        "runs": count,
        "rounds": rounds,
        "evaluate_seconds": round(statistics.median(times["evaluate"]), 2),
        "pytrec_eval_seconds": round(statistics.median(times["pytrec_eval"]), 2),
        "evaluate_processor_seconds": round(statistics.median(worked["evaluate"]), 2),
        "pytrec_eval_processor_seconds": round(statistics.median(worked["pytrec_eval"]), 2),
        "evaluate_vs_pytrec_eval": round(statistics.median(ratios), 2),
    }


def _processor_seconds() -> float:
    """What the processes that have ended so far took of all cores: it hardly grows where others use these too."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure, print, and write the figures where they are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: 5)")
    parser.add_argument("--runs", type=int, default=3, help="how many runs are scored at once (default: 3)")
    options = parser.parse_args()
    figures = measure(options.rounds, options.runs)
    for name, value in figures.items():
        print(f"{name:30} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
