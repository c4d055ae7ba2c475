"""What fusing, calibrating, abstaining and spending by budget give on SciFact and Cranfield, with intervals.

    python benchmarks/depth.py --model runs/demo/rl --work DIR --json depth.json

INTERANK_REAL_DATA names the folder with `beir/scifact`, `classic/cranfield` and `bright/runs`. Weight, calibrator and
threshold are fitted on SciFact's train queries and every other query of Cranfield, and measured on the rest, by the
verbs `evaluate` and `fit`; and on every other query of two published runs of BRIGHT, where no model runs. The tables of
quality and cost are of their test queries. Greedy answers are kept and used again: what the adaptive systems would
write is what `reason` wrote. Every answer and every query is kept in DIR; the same command goes on where it was killed.
`--only-published` runs no model.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import hashlib
import json
import os
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy
import torch

from interank.engines.prompts import Prompt
from interank.engines.protocol import Completion, ForcedLabels, LabelLogits, Sampling
from interank.engines.transformers import TransformersEngine
from interank.engines.work import Work, positions_attended, work_of_reading, work_of_writing
from interank.evaluation.candidates import CandidateSettings, Task, load_evaluated
from interank.evaluation.fitting import FitSettings
from interank.evaluation.fusion import applied_rows
from interank.ir.calibration import calibration
from interank.ir.measures import ideal_run, score_run
from interank.ir.significance import Sample
from interank.ir.trec import read_qrels, read_run
from interank.ledger import Ledger
from interank.recipe import EvaluateRecipe
from interank.reranking.adaptive import Adaptive
from interank.reranking.fitting import Candidates, Fit, Fusion, fit_calibrator, fit_fusion, fused_run, read_fit
from interank.settings import AdaptiveRecipe
from interank.stages import evaluate
from interank.stages.fit import fit
from interank.tasks.judge.asking import Judge
from interank.tasks.judge.ranker import GradeRanker, load_judge
from interank.tasks.ranker_settings import RankerSettings
from interank.tasks.ranks import Ranks
from interank.types import Qrel, Query, Run, ScoredDoc

MEASURE = "nDCG@10"
CUT = 3
SHARES = (0.25, 0.5, 0.75)
PUBLISHED = ("biology", "economics", "pony")
SAMPLES = AdaptiveRecipe(spend="samples", cut=CUT, band=4, samples=3)


class Remembering:
    """The engine, whose answers are kept on disk; what is recalled is counted as if it were done again."""

    rereads = False

    def __init__(self, engine: TransformersEngine, path: Path) -> None:
        self._engine = engine
        self._ledger = Ledger(path)
        self._known = {row["key"]: row for row in self._ledger.rows()}
        self.work = Work()
        self.abilities = engine.abilities
        self.device = engine.device
        self.flops = engine.flops
        self.recalled = 0

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        """See `Engine`."""

        def ask(some: list[Prompt]) -> list[dict[str, Any]]:
            return [asdict(item) for item in self._engine.label_logits(some, labels)]

        rows = self._rows(prompts, ["logits", *labels], ask)
        self.work += work_of_reading(prompts)
        self.work += Work(projected=len(prompts))
        return [_labels(row) for row in rows]

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        """See `Engine`."""

        def ask(some: list[Prompt]) -> list[dict[str, Any]]:
            return [_kept(item) for item in self._engine.generate(some, sampling, end=end)]

        rows = self._rows(prompts, ["text", *asdict(sampling).values()], ask)
        self._count_written(prompts, rows)
        return [_completion(row) for row in rows]

    def generate_graded(
        self, prompts: Sequence[Prompt], sampling: Sampling, asked: ForcedLabels, *, end: int
    ) -> list[tuple[Completion, LabelLogits]]:
        """See `Grading`."""

        def ask(some: list[Prompt]) -> list[dict[str, Any]]:
            found = self._engine.generate_graded(some, sampling, asked, end=end)
            return [{**_kept(completion), **asdict(labels)} for completion, labels in found]

        rows = self._rows(prompts, ["graded", *asdict(sampling).values()], ask)
        self._count_written(prompts, rows)
        for prompt, row in zip(prompts, rows, strict=True):
            forced, own = asked.continuation(_completion(row)), row["ids"]
            same = next((n for n, (a, b) in enumerate(zip(forced, own, strict=False)) if a != b), len(own))
            read = len(forced) - min(same, len(forced) - 1)
            attended = positions_attended(len(prompt.ids) + len(forced) - read, read)
            self.work += Work(tokens_read=read, attended=attended, projected=1)
        return [(_completion(row), _labels(row)) for row in rows]

    def _rows(
        self, prompts: Sequence[Prompt], what: Sequence[Any], ask: Callable[[list[Prompt]], list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Each prompt's kept row; the same prompt asked twice in one call has two."""
        seen: Counter[Prompt] = Counter()
        keys = []
        for prompt in prompts:
            keys.append(hashlib.sha256(json.dumps([what, seen[prompt], prompt.ids]).encode()).hexdigest())
            seen[prompt] += 1
        missing = [place for place, key in enumerate(keys) if key not in self._known]
        self.recalled += len(keys) - len(missing)
        if missing:
            found = ask([prompts[place] for place in missing])
            rows = [{"key": keys[place], **row} for place, row in zip(missing, found, strict=True)]
            self._ledger.append(rows)
            self._known |= {row["key"]: row for row in rows}
        return [self._known[key] for key in keys]

    def _count_written(self, prompts: Sequence[Prompt], rows: Sequence[Mapping[str, Any]]) -> None:
        self.work += work_of_reading(prompts)
        lengths = [len(row["ids"]) + row["finished"] for row in rows]
        self.work += work_of_writing(prompts, lengths)


def _kept(item: Completion) -> dict[str, Any]:
    return {"ids": list(item.ids), "finished": item.finished}


def _completion(row: Mapping[str, Any]) -> Completion:
    return Completion(tuple(row["ids"]), (), row["finished"])


def _labels(row: Mapping[str, Any]) -> LabelLogits:
    first, second, third = row["logits"]
    return LabelLogits((first, second, third), row["mass"])


def published(data: Path, task: str) -> dict[str, Any]:
    """Two published retrievers of BRIGHT, the second in a reranker's place, where both scored a document.

    Every other query is fitted on, and the rest is measured. No model runs.
    """
    names = ("xrr2_qe", "reasonir_gpt4cot_top100")
    first, ours = (read_run(data / "runs" / name / f"{task}.trec.gz") for name in names)
    qrels = read_qrels(data / "qrels" / f"{task}.txt")
    judged = {qrel.query_id for qrel in qrels}
    queries = [scored_by_both(name, first, ours) for name in first if name in ours and name in judged]
    learned, measured_on = queries[::2], queries[1::2]
    fusion, _ = fit_fusion(learned, lambda run: fmean(values_of(qrels, learned, run)))
    calibrator, _ = fit_calibrator([with_truth(qrels, query) for query in learned])
    systems = {"first": Fusion("zscore", 0.0), "ours": Fusion("zscore", 1.0), "even": Fusion("zscore", 0.5)}
    runs = {name: fused_run(measured_on, one) for name, one in {**systems, "fitted": fusion}.items()}
    table = {name: numpy.array(values_of(qrels, measured_on, run)) for name, run in runs.items()}
    sample = Sample([len(measured_on)], seed=42)
    best = max(("first", "ours"), key=lambda name: table[name].mean())
    gains = {f"{name} over {best}": table[name] - table[best] for name in ("even", "fitted")}
    intervals = sample.intervals(numpy.column_stack([*table.values(), *gains.values()]))
    truth = [pair for query in measured_on for pair in with_truth(qrels, query)]
    after = calibration([calibrator.probability(score) for score, _ in truth], [relevant for _, relevant in truth])
    base = fmean(relevant for query in learned for _, relevant in with_truth(qrels, query))
    return {
        "queries": len(measured_on),
        "documents": round(fmean(len(query.doc_ids) for query in measured_on), 1),
        "fusion": asdict(fusion),
        **{
            name: [round(value, 4) for value in (i.mean, i.low, i.high)]
            for name, i in zip([*table, *gains], intervals, strict=True)
        },
        "p": dict(zip(gains, sample.p_values(numpy.column_stack(list(gains.values()))), strict=True)),
        "calibrator": type(calibrator).__name__,
        "expected_error": round(after.expected_error, 4),
        "brier": round(after.brier, 4),
        "brier_of_the_base_rate": round(fmean((base - relevant) ** 2 for _, relevant in truth), 4),
    }


def scored_by_both(name: str, first: Run, ours: Run) -> Candidates:
    """The documents of a query that both runs have, in the first one's order."""
    own, before = ours.scores(name), first.scores(name)
    ids = tuple(doc_id for doc_id in before if doc_id in own)
    return Candidates(name, ids, tuple(own[i] for i in ids), tuple(before[i] for i in ids))


def values_of(qrels: Sequence[Qrel], queries: Sequence[Candidates], run: Run) -> list[float]:
    """The measure of each query."""
    by_query = score_run(qrels, run, [MEASURE]).per_query[MEASURE]
    return [by_query[query.query_id] for query in queries]


def with_truth(qrels: Sequence[Qrel], query: Candidates) -> list[tuple[float, bool]]:
    """A query's scores of the second run, each with whether its document is relevant."""
    relevant = {qrel.doc_id for qrel in qrels if qrel.query_id == query.query_id and qrel.relevance > 0}
    return [(score, doc_id in relevant) for doc_id, score in zip(query.doc_ids, query.ours, strict=True)]


def halves(source: Path, work: Path) -> Path:
    """Cranfield with every other query in a split of its own."""
    folder = work / "cranfield"
    if folder.exists():
        return folder
    partial = work / ".cranfield.partial"
    partial.mkdir(parents=True, exist_ok=True)
    for name in ("corpus.jsonl.gz", "excluded_source_docs.tsv"):
        (partial / name).write_bytes((source / name).read_bytes())
    rows = gzip.decompress((source / "queries.jsonl.gz").read_bytes()).decode().splitlines(keepends=True)
    lines = (source / "qrels.tsv").read_text("utf-8").splitlines(keepends=True)
    for number, split in enumerate(("dev", "test")):
        own = {str(json.loads(row)["_id"]) for row in rows[number::2]}
        (partial / f"queries.{split}.jsonl").write_text("".join(rows[number::2]), "utf-8")
        judged = [line for line in lines if line.split()[0] in own]
        (partial / f"qrels.{split}.tsv").write_text("".join(judged), "utf-8")
    partial.replace(folder)
    return folder


def recipe(options: argparse.Namespace, benchmark: Path, split: str, **more: Any) -> EvaluateRecipe:
    """An evaluation of a sample of a split's queries."""
    given: dict[str, Any] = {"queries": options.fit_queries, "adapters": (options.model,)}
    return EvaluateRecipe(
        stage="evaluate",
        benchmark=benchmark,
        split=split,
        first_stage="bm25",
        depth=options.depth,
        measures=(MEASURE,),
        **given | more,
    )


def fitted(options: argparse.Namespace, name: str, benchmark: Path, dev: str) -> tuple[dict[str, Any], Path]:
    """Fit on one split and measure on the other, by the verbs."""
    file: Path = options.work / f"{name}.fit.json"
    found = evaluate.run(recipe(options, benchmark, dev), options.work / f"{name}-dev", existing="resume")
    if not file.exists():
        fit(found.path, file, FitSettings())
    made = read_fit(file)
    test = evaluate.run(
        recipe(options, benchmark, "test", fits=(file,)), options.work / f"{name}-test", existing="resume"
    )
    metrics = json.loads((test.path / "metrics.json").read_text("utf-8"))
    comparisons = json.loads((test.path / "comparisons.json").read_text("utf-8"))
    system = next(name for name in metrics if name.endswith(", fused"))
    return {
        "fit": {
            "fusion": asdict(made.fusion) if made.fusion else None,
            "calibrator": {"kept": type(made.calibrator).__name__, "brier": made.tried["calibrator"]},
            "queries": len(made.origin.queries),
        },
        "measured": {name: {k: round(v, 4) for k, v in of_system(each).items()} for name, each in metrics.items()},
        "comparisons": [
            {k: item[k] for k in ("system", "against", "mean", "low", "high", "p_corrected")} for item in comparisons
        ],
        "calibration": {
            key: {k: round(metrics[system][key][k], 4) for k in ("expected_error", "low", "high", "brier", "base_rate")}
            for key in ("calibration", "calibrated")
        },
        "improvement": metrics[system]["calibrated"]["improvement"],
        "abstention": metrics[system]["abstention"],
        "coverage": coverage(made, test.path, system),
    }, file


def of_system(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The measure with its interval."""
    return {key: metrics[MEASURE][key] for key in ("mean", "low", "high")}


def coverage(made: Fit, evaluation: Path, system: str) -> list[dict[str, float | None]]:
    """What each threshold of the fit answers of the measured queries, and how well."""
    rows = Ledger(evaluation / "rankings" / f"{system}.jsonl").rows()
    values = {row["query_id"]: row[system][MEASURE] for row in Ledger(evaluation / "per_query.jsonl").rows()}
    sure = {row["query_id"]: row["ranking"][0]["probability"] for row in rows}
    found: list[dict[str, float | None]] = []
    for tried in made.tried["abstention"]:
        answered = [values[name] for name, chance in sure.items() if chance >= tried["probability"]]
        found.append(
            {
                "probability": round(tried["probability"], 4),
                "coverage_fitted": round(tried["coverage"], 3),
                "value_fitted": round(tried["value"], 4),
                "coverage": round(len(answered) / len(values), 3),
                "value": round(fmean(answered), 4) if answered else None,
            }
        )
    return found


def frontier(options: argparse.Namespace, name: str, benchmark: Path, file: Path) -> dict[str, Any]:
    """Quality and cost of each way to rank the same candidates."""
    work = options.work / f"{name}-frontier"
    work.mkdir(exist_ok=True)
    asked = CandidateSettings.of(recipe(options, benchmark, "test", queries=options.queries, adapters=()))
    (task,) = load_evaluated(asked, reranking=True)
    loaded = load_judge(RankerSettings(options.model))
    assert isinstance(loaded.engine, TransformersEngine)
    engine: Any = Remembering(loaded.engine, work / "answers.jsonl")
    scorer = GradeRanker(Judge(engine, loaded.encoder, max_reasoning_tokens=options.max_reasoning_tokens))
    systems: dict[str, Callable[[], Ranks]] = {
        "score": lambda: scorer,
        "explain 1": lambda: scorer.in_mode("explain"),
        "reason": lambda: scorer.in_mode("reason"),
    }
    rows = {name: ranked(work, name, opened(), task, engine) for name, opened in systems.items()}
    tokens = {name: fmean(row["tokens_read"] + row["tokens_written"] for row in rows[name]) for name in rows}
    for share in SHARES:
        budget = round(tokens["score"] + share * tokens["reason"], -1)
        name = f"adaptive, {budget:.0f} tokens"
        adaptive = Adaptive(scorer, AdaptiveRecipe(cut=CUT, band=None, tokens=int(budget)))
        rows[name] = ranked(work, name, adaptive, task, engine)
        assert all(row["tokens_read"] + row["tokens_written"] <= budget for row in rows[name])
    samples = Adaptive(scorer, SAMPLES)
    rows[f"{SAMPLES.samples} samples of {SAMPLES.band}"] = ranked(work, "samples", samples, task, engine)
    made = read_fit(file)
    keyed = {(task.name, row["query_id"]): row for row in rows["score"]}
    rows["score, fused"] = list(applied_rows(made, keyed, [task]).values())
    return table(task, rows)


def ranked(work: Path, name: str, ranker: Ranks, task: Task, engine: Remembering) -> list[dict[str, Any]]:
    """A row a query; those that are there are not ranked again."""
    ledger = Ledger(work / f"ranked-{name.replace(' ', '-')}.jsonl")
    done = {row["query_id"] for row in ledger.rows()}
    for query in task.queries:
        if query.query_id not in done:
            ledger.append([row_of(query, name, ranker, task, engine)])
    return ledger.rows()


def row_of(query: Query, name: str, ranker: Ranks, task: Task, engine: Remembering) -> dict[str, Any]:
    """One query's ranking and cost; seconds only where nothing was recalled."""
    recalled = engine.recalled
    explained = 1 if name.startswith("explain") else None
    ranking, (cost,) = ranker.ranked(query, task.documents(query.query_id), explained)
    return {
        "query_id": query.query_id,
        "ranking": [item.as_row() for item in ranking],
        "tokens_read": cost.tokens_read,
        "tokens_written": cost.tokens_written,
        "flops": cost.flops,
        "seconds": round(cost.seconds, 3) if engine.recalled == recalled else None,
    }


def table(task: Task, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Means with intervals, the paired difference to `score`, and what a query took."""
    runs = {"BM25": task.candidates, "perfect order": ideal_run(task.qrels, task.candidates)}
    for name, own in rows.items():
        scored = [ScoredDoc(row["query_id"], item["doc_id"], item["score"]) for row in own for item in row["ranking"]]
        runs[name] = Run.from_scores(scored, first_stage=task.candidates, tag="depth")
    ids = [query.query_id for query in task.queries]
    values = {}
    for name, run in runs.items():
        by_query = score_run(task.qrels, run, [MEASURE]).per_query[MEASURE]
        values[name] = numpy.array([by_query[i] for i in ids])
    sample = Sample([len(ids)], seed=42)
    columns = [*values.values(), *(value - values["score"] for value in values.values())]
    intervals = sample.intervals(numpy.column_stack(columns))
    found = {}
    for place, name in enumerate(values):
        mean, gain = intervals[place], intervals[len(values) + place]
        took = rows.get(name, [])
        seconds = [row["seconds"] for row in took]
        found[name] = {
            MEASURE: [round(value, 4) for value in (mean.mean, mean.low, mean.high)],
            "over_score": [round(value, 4) for value in (gain.mean, gain.low, gain.high)],
            "tokens_read": round(fmean(row["tokens_read"] for row in took)) if took else None,
            "tokens_written": round(fmean(row["tokens_written"] for row in took)) if took else None,
            "gflop": round(fmean(row["flops"] for row in took) / 1e9, 1) if took else None,
            "seconds": round(fmean(seconds), 2) if seconds and None not in seconds else None,
            "explained": round(fmean(sum(i["explanation"] is not None for i in r["ranking"]) for r in took), 2)
            if took
            else None,
        }
    return {"queries": len(ids), "candidates": task.facts["depth"], "systems": found}


def with_model(options: argparse.Namespace, data: Path, figures: dict[str, Any]) -> None:
    """The figures that a model is needed for, as they come."""
    options.work.mkdir(parents=True, exist_ok=True)
    scifact = data / "beir" / "scifact"
    cranfield = halves(data / "classic" / "cranfield", options.work)
    for name, benchmark, dev in (("scifact", scifact, "train"), ("cranfield", cranfield, "dev")):
        figures[name], file = fitted(options, name, benchmark, dev)
        print(json.dumps(figures[name]), flush=True)
        figures[name]["frontier"] = frontier(options, name, benchmark, file)
        print(json.dumps(figures[name]["frontier"]), flush=True)


def main() -> None:
    """Run what is not there yet, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, help="an output of distill or rl")
    parser.add_argument("--work", type=Path, metavar="DIR", help="answers and rankings; kept")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--fit-queries", type=int, default=40, help="of each split, to fit on and to measure on")
    parser.add_argument("--queries", type=int, default=20, help="for the table of quality and cost")
    parser.add_argument("--depth", type=int, default=10, help="candidates of a query")
    parser.add_argument("--max-reasoning-tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only-published", action="store_true", help="BRIGHT's published runs alone")
    options = parser.parse_args()
    if not options.only_published and not (options.model and options.work):
        parser.error("--model and --work are needed, or --only-published")
    torch.set_num_threads(options.threads)
    data = Path(os.environ["INTERANK_REAL_DATA"])
    figures: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {options.threads} threads",
    }
    figures["bright"] = {task: published(data / "bright", task) for task in PUBLISHED}
    print(json.dumps(figures), flush=True)
    if not options.only_published:
        with_model(options, data, figures)
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
