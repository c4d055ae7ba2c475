"""What heads learn of SciFact: cross-entropy, RankNet with its scores, and RankLLaMA's groups, each beside its twin.

    python benchmarks/heads_scifact.py train --system cross_entropy --work DIR
    python benchmarks/heads_scifact.py train --system cross_entropy_shuffled --work DIR
    python benchmarks/heads_scifact.py rank --system cross_entropy --work DIR
    python benchmarks/heads_scifact.py report --work DIR --json FILE

INTERANK_REAL_DATA names the folder with `beir/scifact`. The systems are SmolLM2-135M with a head. `cross_entropy` and
`ranknet` learn 400 claims with 1 relevant abstract and 3 others, `ranknet` only by the scores of `cross_entropy`, with
a share of distillation. `rankllama` is `cross_entropy` trained further as RankLLaMA is, on 50 of the claims with 1
relevant abstract among 15 others. The others are of BM25's first 1,000. The twin of each learns the same texts with
labels and scores dealt out anew within each group, that of `rankllama` after that of `cross_entropy`; `ranknet` comes
before its twin, and `cross_entropy` and its twin before all others. All rank BM25's first 20 abstracts for 60 test
claims; `cross_entropy` and `ranknet` rank those of 40 more training claims as well, on which the `--claims` were not
drawn, to fit the weight with which they are mixed with BM25. Each command goes on where it was killed.

The last 10 of 30 layers have adapters, so that no backward pass goes through the other 20, and all is computed in
bfloat16. On Linux `MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592` spares the kernel handing out the same memory
again and again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import torch

from interank.engines.heads import load_head, scores
from interank.ir.benchmarks import load_benchmark
from interank.ir.bm25 import Bm25
from interank.ir.measures import ideal_run, random_run, score_run
from interank.ir.significance import Sample, holm
from interank.judgments import JudgedList
from interank.ledger import Ledger, write_rows
from interank.reranking.fitting import Candidates, Fusion, fit_fusion, fused_run
from interank.settings import HeadSettings, LoraRecipe
from interank.settings.student import ValidationRecipe
from interank.stages import distill
from interank.tasks.head.groups import FILE, drawn, with_negatives
from interank.tasks.head.recipe import DistillHead
from interank.types import Document, Qrel, Query, Run

STUDENT = "HuggingFaceTB/SmolLM2-135M-Instruct"
SYSTEMS = (
    "cross_entropy",
    "cross_entropy_shuffled",
    "ranknet",
    "ranknet_shuffled",
    "rankllama",
    "rankllama_shuffled",
)
# With BM25.
FUSED = ("cross_entropy", "ranknet")
# An abstract that is cut ends in any word; the same token behind all of them is an even place to read at.
ENCODING = HeadSettings(max_query_tokens=48, max_document_tokens=160, max_length=228, end_token=True)
MEASURE = "nDCG@10"
CANDIDATES = 20
# So many of BM25's first documents negatives are drawn from. What a head learns first is which abstract is of a claim's
# subject, and nearly all of the first 20 are.
DEPTH = 1000
SEED = 7
RANDOM_ORDERS = 50


@dataclass(frozen=True)
class Draw:
    """How groups are drawn: of so many claims the first so many, each with so many abstracts."""

    among: int
    claims: int
    documents: int


def main() -> None:
    """Run one of the steps."""
    options = arguments()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.step == "report":
        report(options)
        return
    {"train": train, "rank": rank}[options.step](options, options.system)
    used = resource.getrusage(resource.RUSAGE_SELF)
    row = {"system": options.system, "step": options.step, "processor_seconds": round(used.ru_utime + used.ru_stime)}
    Ledger(options.work / "cost.jsonl").append([row])


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--work", type=Path, required=True, metavar="DIR", help="groups, adapters and rankings; kept")
    common.add_argument("--threads", type=int, default=1)
    common.add_argument("--test-queries", type=int, default=60)
    common.add_argument("--fit-queries", type=int, default=40, help="training claims that the fusion is fitted on")
    common.add_argument("--claims", type=int, default=400)
    for name, what in (("train", "train one system"), ("rank", "rank with a trained one")):
        step = steps.add_parser(name, parents=[common], help=what)
        step.add_argument("--system", choices=SYSTEMS, required=True)
        step.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
        if name == "train":
            step.add_argument("--further-claims", type=int, default=50, help="of rankllama")
            step.add_argument("--learning-rate", type=float, help="0.001, and 0.0003 for rankllama")
            step.add_argument("--layers", type=int, default=10, help="how many of the last have adapters")
            step.add_argument("--steps", type=int, default=-1, help="stop after so many, to see how long one takes")
    table = steps.add_parser("report", parents=[common], help="the table, from what was ranked")
    table.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser.parse_args()


@cache
def scifact(split: str) -> tuple[list[Query], dict[str, Document], list[Qrel]]:
    """Claims that have a relevant abstract, all abstracts, and which are relevant."""
    folder = Path(os.environ["INTERANK_REAL_DATA"]) / "beir" / "scifact"
    found = load_benchmark(folder, split, with_run=False)
    judged = {qrel.query_id for qrel in found.qrels if qrel.relevance > 0}
    queries = [query for query in found.queries.values() if query.query_id in judged]
    return queries, dict(found.documents()), list(found.qrels)


def train(options: argparse.Namespace, system: str) -> None:
    """Distill a system; what is there is used, and what was begun is gone on with."""
    kind, is_twin = system.removesuffix("_shuffled"), system.endswith("_shuffled")
    draw = Draw(options.claims, options.claims, 4)
    if kind == "rankllama":
        draw = Draw(options.claims, options.further_claims, 16)
    begun = options.work / system.replace("rankllama", "cross_entropy")
    head = dict(
        groups=group_file(options.work, draw, shuffled=is_twin),
        documents=draw.documents,
        **({"adapter": begun} if kind == "rankllama" else {"encoding": ENCODING}),
        **(taught(options, is_twin) if kind == "ranknet" else {}),
    )
    recipe = DistillHead(
        task="head",
        stage="distill",
        student=STUDENT,
        seed=SEED,
        precision=options.precision,
        objective="ranknet" if kind == "ranknet" else "cross_entropy",
        **head,
        lora=LoraRecipe(rank=16, alpha=32, layers=options.layers),
        validation=ValidationRecipe(questions=0),
        trainer={
            "learning_rate": options.learning_rate or (3.0e-4 if kind == "rankllama" else 1.0e-3),
            "num_train_epochs": 1,
            "max_steps": options.steps,
            # Steps of 8 documents, or of 16.
            "per_device_train_batch_size": max(1, 8 // draw.documents),
            "gradient_accumulation_steps": 1,
            "gradient_checkpointing": False,
            "save_steps": 10,
            "logging_steps": 5,
        },
    )
    name = system if options.steps < 0 else f"{system}-{options.steps}-steps"
    made = distill.run(recipe, options.work / name, existing="resume")
    cost = json.loads((made.path / "cost.json").read_text("utf-8"))
    tokens, seconds = made.manifest["counts"]["tokens"], cost["trainer"]["train_runtime"]
    print(f"{name}: {made.manifest['counts']['steps']} steps, {tokens} tokens in all groups, {seconds:.0f} s")


def taught(options: argparse.Namespace, is_twin: bool) -> dict[str, Any]:
    """Whose scores RankNet learns, and for the twin the same, dealt out anew within each group."""
    if not is_twin:
        return {"teacher": str(options.work / "cross_entropy"), "teacher_precision": options.precision}
    file: Path = options.work / "shuffled_teacher_scores.jsonl"
    rows = Ledger(options.work / "ranknet" / FILE).rows()
    by_query: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_query.setdefault(row["query_id"], []).append(row)
    rng = random.Random(SEED)
    dealt = [
        {**row, "score": score}
        for found in by_query.values()
        for row, score in zip(found, rng.sample([each["score"] for each in found], len(found)), strict=True)
    ]
    write_rows(file, dealt)
    return {"teacher_scores": file}


def group_file(work: Path, draw: Draw, *, shuffled: bool) -> Path:
    """The groups in Tevatron's layout; shuffled, any of a group's abstracts may stand as the relevant one."""
    labels = "shuffled" if shuffled else "true"
    file = work / f"groups-{draw.claims}x{draw.documents}-{labels}.jsonl"
    _, corpus, qrels = scifact("train")
    relevant: dict[str, list[Document]] = {}
    for qrel in qrels:
        if qrel.relevance > 0:
            relevant.setdefault(qrel.query_id, []).append(corpus[qrel.doc_id])
    claims = dealt_out(draw.among)[0][: draw.claims]
    found = with_negatives(
        [JudgedList(query, tuple(of), (2,) * len(of)) for query in claims if (of := relevant[query.query_id])],
        corpus,
        run=None,
        depth=DEPTH,
    )
    rng = random.Random(SEED)
    rows = []
    for item in found:
        for group in drawn(item, draw.documents, 1, SEED):
            passages = [{"docid": each.doc_id, "title": each.title, "text": each.text} for each in group.documents]
            if shuffled:
                rng.shuffle(passages)
            rows.append(
                {
                    "query_id": group.query.query_id,
                    "query": group.query.text,
                    "positive_passages": passages[:1],
                    "negative_passages": passages[1:],
                }
            )
    write_rows(file, rows)
    return file


def dealt_out(claims: int) -> tuple[list[Query], list[Query]]:
    """The training claims in two parts, a seeded sample of so many and the others."""
    queries = scifact("train")[0]
    chosen = set(random.Random(SEED).sample(range(len(queries)), min(claims, len(queries))))
    return (
        [query for place, query in enumerate(queries) if place in chosen],
        [query for place, query in enumerate(queries) if place not in chosen],
    )


def asked(options: argparse.Namespace, split: str) -> tuple[list[Query], Run]:
    """The claims that are ranked, a seeded sample, and BM25's candidates for them."""
    number = options.test_queries if split == "test" else options.fit_queries
    return first_stage(split, number, options.claims)


@cache
def first_stage(split: str, number: int, trained: int) -> tuple[list[Query], Run]:
    """The same, of a split's claims less those that are trained on."""
    queries = scifact("test")[0] if split == "test" else dealt_out(trained)[1]
    chosen = sorted(random.Random(SEED).sample(range(len(queries)), min(number, len(queries))))
    claims = [queries[place] for place in chosen]
    return claims, Bm25(list(scifact(split)[1].values())).rank(claims, top_k=CANDIDATES)


def rank(options: argparse.Namespace, system: str) -> None:
    """Score the candidates of all claims, a line each, those that are there left out."""
    head = None
    for split in ("test", "train") if system in FUSED else ("test",):
        claims, candidates = asked(options, split)
        corpus = scifact(split)[1]
        ledger = ledger_of(options, system, split)
        done = {row["query_id"] for row in ledger.rows()}
        for query in (query for query in claims if query.query_id not in done):
            head = head or load_head(options.work / system, precision=options.precision)
            began = time.monotonic()
            doc_ids = candidates.doc_ids(query.query_id)
            found = scores(head, [head.encoder.pair(query, corpus[doc_id]) for doc_id in doc_ids]).tolist()
            row = {"query_id": query.query_id, "scores": dict(zip(doc_ids, found, strict=True))}
            ledger.append([{**row, "seconds": round(time.monotonic() - began, 2)}])


def ledger_of(options: argparse.Namespace, system: str, split: str) -> Ledger:
    """What a system has scored of a split."""
    return Ledger(options.work / f"ranked-{system}-{split}.jsonl")


def scored(options: argparse.Namespace, system: str, split: str) -> list[Candidates] | None:
    """The claims' candidates with a system's scores and BM25's; None before all are there."""
    claims, first = asked(options, split)
    rows = {row["query_id"]: row["scores"] for row in ledger_of(options, system, split).rows()}
    if not all(query.query_id in rows for query in claims):
        return None
    found = []
    for query_id in (query.query_id for query in claims):
        given = first.scores(query_id)
        ours = tuple(rows[query_id][doc_id] for doc_id in given)
        found.append(Candidates(query_id, tuple(given), ours, tuple(given.values())))
    return found


def fusion_of(options: argparse.Namespace, system: str) -> Fusion | None:
    """How the system is best mixed with BM25 on claims that neither train nor test it."""
    if system not in FUSED or (found := scored(options, system, "train")) is None:
        return None
    claims = asked(options, "train")[0]
    qrels = qrels_of(claims, "train")
    return fit_fusion(found, lambda run: float(values_of(qrels, claims, run).mean()))[0]


def report(options: argparse.Namespace) -> None:
    """Means with intervals over the test claims, and paired tests of each system against its twin and BM25."""
    claims, candidates = asked(options, "test")
    qrels = qrels_of(claims, "test")
    runs = {"BM25": candidates, "perfect order": ideal_run(qrels, candidates)}
    fusions = {}
    for system in SYSTEMS:
        found = scored(options, system, "test")
        if found is None:
            continue
        runs[system] = fused_run(found, Fusion("minmax", 1.0), system)
        if fusion := fusion_of(options, system):
            runs[f"{system}, fused"] = fused_run(found, fusion)
            fusions[system] = {"method": fusion.method, "weight": fusion.weight}
    shuffles = [values_of(qrels, claims, random_run(candidates, seed)) for seed in range(RANDOM_ORDERS)]
    values = {"random order": numpy.mean(shuffles, axis=0)}
    values |= {name: values_of(qrels, claims, run) for name, run in runs.items()}
    sample = Sample([len(claims)], seed=SEED)
    intervals = sample.intervals(numpy.column_stack(list(values.values())))
    figures = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "claims": len(claims),
        "systems": {
            name: {"mean": round(i.mean, 4), "low": round(i.low, 4), "high": round(i.high, 4)}
            for name, i in zip(values, intervals, strict=True)
        },
        "fusions": fusions,
        "p": tests(sample, values),
        "processor_seconds": costs(options.work),
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", "utf-8")


def tests(sample: Sample, values: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Paired randomisation tests, as they are and corrected for their number by Holm."""
    pairs = [
        (system, against)
        for system in SYSTEMS
        for against in (f"{system}_shuffled", "random order", "BM25")
        if not system.endswith("_shuffled") and system in values and against in values
    ]
    pairs += [(name, "BM25") for system in SYSTEMS if (name := f"{system}, fused") in values]
    if not pairs:
        return {}
    differences = numpy.column_stack([values[ours] - values[against] for ours, against in pairs])
    found = sample.p_values(differences)
    return {
        f"{ours} against {against}": {"p": round(p, 5), "holm": round(corrected, 5)}
        for (ours, against), p, corrected in zip(pairs, found, holm(found), strict=True)
    }


def qrels_of(claims: list[Query], split: str) -> list[Qrel]:
    """What is judged of these claims."""
    names = {query.query_id for query in claims}
    return [qrel for qrel in scifact(split)[2] if qrel.query_id in names]


def values_of(qrels: list[Qrel], claims: list[Query], run: Run) -> Any:
    """nDCG@10 of each claim."""
    found = score_run(qrels, run, [MEASURE]).per_query[MEASURE]
    return numpy.array([found[query.query_id] for query in claims])


def costs(work: Path) -> dict[str, int]:
    """What every system's steps took of a processor; a step that was killed has told nothing."""
    found: dict[str, int] = {}
    for row in Ledger(work / "cost.jsonl").rows():
        name = f"{row['step']} {row['system']}"
        found[name] = found.get(name, 0) + row["processor_seconds"]
    return found


if __name__ == "__main__":
    main()
