"""What distillation teaches SmolLM2-135M on real StackExchange posts, judged on questions of sites it has not seen.

    python benchmarks/distill_quality.py train --work DIR --labels true
    python benchmarks/distill_quality.py train --work DIR --labels shuffled
    python benchmarks/distill_quality.py rank --work DIR --system untrained
    python benchmarks/distill_quality.py report --work DIR --json FILE

INTERANK_REAL_DATA names the folder with `stackexchange/SITE`. A teacher at hand being too weak, the grades are what
votes and acceptance say of an answer (`teacher.grades: votes`). The student learns to grade at once (`score`); its twin
learns the same pairs with their judgments dealt out anew. Both then rank BM25's first 15 answers for held-out questions
of other sites, out of all that the site has or, with `--pool sampled`, out of the answers to the sampled questions.
Each command goes on where it was killed; the first two can run side by side, one thread each.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy
import torch

from interank.artifact import Workplace, create
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.transformers import TransformersEngine
from interank.ir.bm25 import Bm25
from interank.ir.measures import ideal_run, random_run, score_run
from interank.ir.significance import Sample
from interank.judgments import write_judgments
from interank.ledger import Ledger
from interank.mining import mine
from interank.pairs import read_pairs
from interank.recipe import GenerateRecipe
from interank.reranking.reranker import Reranker
from interank.settings import (
    DocumentsRecipe,
    LoraRecipe,
    MiningRecipe,
    PromptSettings,
    TeacherRecipe,
)
from interank.settings.student import LossRecipe, MixtureRecipe, ValidationRecipe
from interank.stages import distill, generate
from interank.tasks.judge.recipe import DistillJudge
from interank.teacher.annotate import GRADE_BY_ORIGIN
from interank.types import Document, Example, Judgment, Pair, Qrel, Query, Run, ScoredDoc

STUDENT = "HuggingFaceTB/SmolLM2-135M-Instruct"
TRAINED_ON = ("sustainability.stackexchange.com", "quantumcomputing.stackexchange.com")
HELD_OUT = ("coffee.stackexchange.com", "matheducators.stackexchange.com")
PROMPT = PromptSettings(max_length=448, max_query_tokens=96, max_document_tokens=128)
CANDIDATES = 15
SEED = 7
SYSTEMS = ("untrained", "true", "shuffled")
STEPS_OF_WEIGHT = 21
MEASURE = "nDCG@10"
REASON_TOKENS = 32
RANDOM_ORDERS = 50


def main() -> None:
    """Run one of the steps."""
    options = arguments()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.step == "train":
        train(options)
        rank(options, options.labels, precision="float32")
    elif options.step == "rank":
        rank(options, options.system, options.mode, options.precision)
    else:
        report(options)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--work", type=Path, required=True, metavar="DIR", help="pairs, adapters and rankings; kept")
    common.add_argument("--threads", type=int, default=1)
    common.add_argument("--test-questions", type=int, default=30, help="of each held-out site")
    common.add_argument("--pool", choices=("site", "sampled"), default="site", help="whose answers are candidates")
    common.add_argument("--fit-questions", type=int, default=15, help="of each training site, for the fused weight")
    teach = steps.add_parser("train", parents=[common], help="train one student and rank with it")
    teach.add_argument("--labels", choices=("true", "shuffled"), required=True)
    teach.add_argument("--questions", type=int, help="at most so many; all where not given")
    teach.add_argument("--epochs", type=float, default=1.0)
    teach.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    order = steps.add_parser("rank", parents=[common], help="rank with a system that is there")
    order.add_argument("--system", choices=SYSTEMS, required=True)
    order.add_argument("--mode", choices=("score", "reason"), default="score")
    order.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of ranking")
    table = steps.add_parser("report", parents=[common], help="the table, from what was ranked")
    table.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser.parse_args()


def dumps(sites: Sequence[str]) -> list[Path]:
    """The sites' folders."""
    return [Path(os.environ["INTERANK_REAL_DATA"]) / "stackexchange" / site for site in sites]


def train(options: argparse.Namespace) -> None:
    """Mine, grade by votes, deal the judgments out anew if asked, and distill; what is there is used."""
    judgments = judged(options)
    recipe = DistillJudge(
        stage="distill",
        judgments=judgments,
        student=STUDENT,
        seed=SEED,
        precision=options.precision,
        prompt=PROMPT,
        mixture=MixtureRecipe(score=1.0),
        loss=LossRecipe(tokens=1.0, listwise=1.0),
        lora=LoraRecipe(rank=32, alpha=64),
        validation=ValidationRecipe(questions=0),
        trainer={
            "learning_rate": 5.0e-4,
            "num_train_epochs": options.epochs,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "gradient_checkpointing": False,
            "max_grad_norm": 1.0,
            "save_steps": 20,
            "logging_steps": 5,
        },
    )
    distill.run(recipe, options.work / options.labels, existing="resume")


def judged(options: argparse.Namespace) -> Path:
    """The judgments artifact of these labels."""
    out: Path = options.work / f"judgments-{options.labels}"
    if out.exists():
        return out
    mined = generate.run(
        GenerateRecipe(
            stage="generate",
            dumps=tuple(dumps(TRAINED_ON)),
            decontaminate=False,
            seed=SEED,
            mining=MiningRecipe(
                questions=options.questions,
                # What ranking meets: the question's own answers among what shares its words.
                documents=DocumentsRecipe(
                    accepted_answer=1, answer=1, linked_answer=0, hard_negative=4, random_negative=0
                ),
                validation_share=0.1,
                processes=1,
            ),
            teacher=TeacherRecipe(model=STUDENT, grades="votes"),
        ),
        # Each process its own, since both may run at once.
        options.work / f"pairs-{options.labels}",
        existing="resume",
        only_mine=True,
    )
    pairs = list(read_pairs(mined.path))
    examples = [example_of(pair) for pair in pairs]
    if options.labels == "shuffled":
        dealt = [item.judgment for item in examples]
        random.Random(SEED).shuffle(dealt)
        examples = [replace(item, judgment=judgment) for item, judgment in zip(examples, dealt, strict=True)]
    place = create(out, "judgments", recipe={"labels": options.labels}, inputs={}, existing="overwrite")
    assert isinstance(place, Workplace)
    write_judgments(examples, place.folder)
    place.finish(seed=SEED, counts={"judgments": len(examples)})
    return out


def example_of(pair: Pair) -> Example:
    """The pair with the grade that votes and acceptance say."""
    judgment = Judgment("", GRADE_BY_ORIGIN[pair.origin])
    return Example(pair.query, pair.document, judgment, None, pair.split, pair.source)


@dataclass(frozen=True)
class Site:
    """A site's questions, all its answers, who answers what, and BM25's candidates."""

    name: str
    queries: list[Query]
    corpus: dict[str, Document]
    qrels: list[Qrel]
    candidates: Run


def sites(options: argparse.Namespace) -> tuple[list[Site], list[Site]]:
    """The held-out sites, and of the training sites the questions that nothing was learned from."""
    learned = {
        item["query_id"]
        for name in ("true", "shuffled")
        for item in Ledger(options.work / f"judgments-{name}" / "judgments.jsonl").rows()
        if item["split"] == "train"
    }
    test = [site_of(path, options.test_questions, frozenset(), options.pool) for path in dumps(HELD_OUT)]
    fit = [site_of(path, options.fit_questions, frozenset(learned), options.pool) for path in dumps(TRAINED_ON)]
    return test, fit


def site_of(dump: Path, questions: int, learned: frozenset[str], pool: str) -> Site:
    """A seeded sample of a site's questions, with BM25's first answers out of the pool."""
    everything = DocumentsRecipe(accepted_answer=1, answer=50, linked_answer=0, hard_negative=0, random_negative=0)
    pairs = mine([dump], MiningRecipe(documents=everything, validation_share=0.0, processes=1), SEED).pairs
    corpus = {pair.document.doc_id: pair.document for pair in pairs}
    asked = {pair.query.query_id: pair.query for pair in pairs if pair.query.query_id not in learned}
    chosen = sorted(random.Random(SEED).sample(sorted(asked), min(questions, len(asked))))
    qrels = [
        Qrel(pair.query.query_id, pair.document.doc_id, int(GRADE_BY_ORIGIN[pair.origin]))
        for pair in pairs
        if pair.query.query_id in set(chosen)
    ]
    queries = [asked[name] for name in chosen]
    if pool == "sampled":
        corpus = {qrel.doc_id: corpus[qrel.doc_id] for qrel in qrels}
    candidates = Bm25(list(corpus.values())).rank(queries, top_k=CANDIDATES)
    return Site(dump.name, queries, corpus, qrels, candidates)


def ranking_file(options: argparse.Namespace, system: str, mode: str) -> Path:
    """Where a system's scores are kept."""
    pool = "" if options.pool == "site" else f"-{options.pool}"
    return Path(options.work) / f"ranked-{system}-{mode}{pool}.jsonl"


def rank(options: argparse.Namespace, system: str, mode: str = "score", precision: str = "float32") -> None:
    """Score the candidates of all questions, a line each, those that are there left out."""
    test, fit = sites(options)
    ledger = Ledger(ranking_file(options, system, mode))
    done = {row["query_id"] for row in ledger.rows()}
    # Reasoning first takes so long that it has no weight of its own to fit.
    asked = [(site, query) for site in (test if mode == "reason" else test + fit) for query in site.queries]
    waiting = [(site, query) for site, query in asked if query.query_id not in done]
    if not waiting:
        return
    reranker = opened(options, system, mode, precision)
    for site, query in waiting:
        began = time.monotonic()
        documents = [site.corpus[doc_id] for doc_id in site.candidates.doc_ids(query.query_id)]
        found = {item.doc_id: item.score for item in reranker.graded(query, documents)}
        ledger.append([{"query_id": query.query_id, "scores": found, "seconds": round(time.monotonic() - began, 2)}])


def opened(options: argparse.Namespace, system: str, mode: Any, precision: Any) -> Reranker:
    """The reranker of a system; the untrained student reads the same prompts."""
    if system == "untrained":
        files = find_model(STUDENT)
        encoder = PromptEncoder(load_tokenizer(files), PROMPT)
        engine = TransformersEngine(load_model(files, precision=precision))
        return Reranker.on(engine, encoder, mode=mode, max_reasoning_tokens=REASON_TOKENS)
    # "exact" is float32 on a CPU.
    kept = "exact" if precision == "float32" else precision
    return Reranker(options.work / system, mode=mode, max_reasoning_tokens=REASON_TOKENS, precision=kept)


def report(options: argparse.Namespace) -> None:
    """Means with intervals over the held-out questions, paired tests against BM25 and the twin, and the weight."""
    test, fit = sites(options)
    runs: dict[str, list[Run]] = {
        "BM25": [site.candidates for site in test],
        "perfect order": [ideal_run(site.qrels, site.candidates) for site in test],
    }
    weights: dict[str, float] = {}
    for system in SYSTEMS:
        for mode in ("score", "reason"):
            scores = ranked(options, system, mode)
            # A mode that was not ranked, or not to its end, has no row.
            if all(query.query_id in scores for site in test for query in site.queries):
                name = f"{system}, {mode}"
                runs[name] = [run_of(site, scores) for site in test]
                if mode == "score" and all(query.query_id in scores for site in fit for query in site.queries):
                    weights[name] = fitted(fit, scores)
                    runs[f"{name}, fused"] = [run_of(site, scores, weights[name]) for site in test]
    shuffles = [values_of(test, [random_run(site.candidates, seed) for site in test]) for seed in range(RANDOM_ORDERS)]
    values = {"random order": numpy.mean(shuffles, axis=0)}
    values |= {name: numpy.array(values_of(test, made)) for name, made in runs.items()}
    sample = Sample([len(site.queries) for site in test], seed=SEED)
    intervals = sample.intervals(numpy.column_stack(list(values.values())))
    figures: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "questions": {site.name: len(site.queries) for site in test},
        "weights": weights,
        "systems": {
            name: {"mean": round(i.mean, 4), "low": round(i.low, 4), "high": round(i.high, 4)}
            for name, i in zip(values, intervals, strict=True)
        },
        "p": tests(sample, values),
        "training": {name: cost_of(options.work / name) for name in ("true", "shuffled")},
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", "utf-8")


def tests(sample: Sample, values: Mapping[str, Any]) -> dict[str, float]:
    """Paired randomisation tests of what the claims are about."""
    pairs = [
        ("true, score", "shuffled, score"),
        ("true, score", "untrained, score"),
        ("true, score", "BM25"),
        ("true, score, fused", "BM25"),
    ]
    known = [(ours, against) for ours, against in pairs if ours in values and against in values]
    if not known:
        return {}
    differences = numpy.column_stack([values[ours] - values[against] for ours, against in known])
    found = zip(known, sample.p_values(differences), strict=True)
    return {f"{ours} against {against}": p for (ours, against), p in found}


def ranked(options: argparse.Namespace, system: str, mode: str) -> dict[str, dict[str, float]]:
    """The scores of each question's candidates, as far as there are any."""
    rows = Ledger(ranking_file(options, system, mode)).rows()
    return {row["query_id"]: row["scores"] for row in rows}


def run_of(site: Site, scores: Mapping[str, Mapping[str, float]], weight: float = 1.0) -> Run:
    """The candidates by the model's scores, mixed with BM25's where the weight is below 1."""
    mixed = []
    for query in site.queries:
        model, first = spread(scores[query.query_id]), spread(site.candidates.scores(query.query_id))
        mixed += [
            ScoredDoc(query.query_id, doc_id, weight * model[doc_id] + (1 - weight) * first[doc_id]) for doc_id in first
        ]
    return Run.from_scores(mixed, first_stage=site.candidates, tag="mixed")


def spread(scores: Mapping[str, float]) -> dict[str, float]:
    """The scores between 0 and 1."""
    low, high = min(scores.values()), max(scores.values())
    return {doc_id: (score - low) / ((high - low) or 1.0) for doc_id, score in scores.items()}


def fitted(fit: Sequence[Site], scores: Mapping[str, Mapping[str, float]]) -> float:
    """The weight that is best on the training sites' own held-back questions; of equals the one nearest BM25."""
    tried = [round(float(weight), 2) for weight in numpy.linspace(0, 1, STEPS_OF_WEIGHT)]
    return max(tried, key=lambda weight: fmean(values_of(fit, [run_of(site, scores, weight) for site in fit])))


def values_of(places: Sequence[Site], runs: Sequence[Run]) -> list[float]:
    """nDCG@10 of each question, sites in order."""
    found = [score_run(site.qrels, run, [MEASURE]).per_query[MEASURE] for site, run in zip(places, runs, strict=True)]
    return [of[query.query_id] for site, of in zip(places, found, strict=True) for query in site.queries]


def cost_of(adapter: Path) -> dict[str, Any] | None:
    """What the training took, where it is done."""
    file = adapter / "cost.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else None


if __name__ == "__main__":
    main()
