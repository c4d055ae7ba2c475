"""Reranking one query's 100 documents beside other ways to run the same model on the same tokens, outputs compared."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rerank_rivals as rivals
import torch

from interank import Reranker, judging
from interank.engines.judge import before_label
from interank.engines.models import find_model
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Completion, ForcedLabels, LabelLogits, Sampling
from interank.engines.transformers import TransformersEngine
from interank.ir.benchmarks import load_benchmark, read_documents
from interank.ir.bm25 import Bm25
from interank.ir.measures import score_run
from interank.resources import resource_dir
from interank.settings import PromptSettings
from interank.settings.precision import Precision
from interank.tasks.judge.ranker import load_judge
from interank.tasks.ranker_settings import RankerSettings
from interank.types import Document, Query, Run, ScoredDoc

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
PREFIX_TOKENS = 310  # instruction and query: BRIGHT's queries have a median of about 200 tokens
DOCUMENT_TOKENS = (150, 550)
NEW_TOKENS = 150  # what the original writes for each document before its grade
SLOW = 8  # documents of the slowest side, one of each eighth of the lengths
BATCHED = 16  # documents of the batched side: one of its batches, whose cost is linear in their number
MATRIX = 2048
# The comparisons, each of the side that is beaten (or not) and ours.
RATIOS = {
    "score_vs_generate": ("generate", "score"),
    "score_best_vs_generate": ("generate", "score_best"),
    "score_vs_batched": ("batched", "score"),
    "reason_vs_generate": ("generate_reason", "reason"),
    "reason_vs_continuous_batching": ("continuous_batching", "reason"),
    "score_vs_vllm": ("vllm", "score"),
}
EVERY = [*RATIOS, "roofline_share", "rankings"]
# A precision keeps the ranking whose mean Kendall tau and nDCG@10 are so near to float32's.
KEPT_TAU, KEPT_NDCG = 0.9, 0.01
JUDGED, CANDIDATES = 27, 10  # queries of the sample benchmark that this is asked of, and BM25's first for each
ROUNDED: tuple[Precision, ...] = ("bfloat16",)
Side = tuple[Callable[[], object], int]


def workload(encoder: PromptEncoder, order: judging.Order, count: int) -> list[Prompt]:
    """Prompts of one query with documents of the sample benchmark's text, at BRIGHT's lengths."""
    rng = random.Random(0)
    texts = [d.text for d in read_documents(resource_dir("data") / "benchmark" / "corpus.jsonl").values()]
    words = " ".join(texts).split()
    empty = encoder.prompt(Query("q", ""), Document("d", ""), answer_tokens=NEW_TOKENS, order=order)
    query = _words(encoder, words, PREFIX_TOKENS - len(empty.prefix))
    lengths = [rng.randint(*DOCUMENT_TOKENS) for _ in range(count)]
    prompts = []
    for number, length in enumerate(lengths):
        rng.shuffle(texts)
        text = _words(encoder, " ".join(texts * 3).split(), length)
        prompts.append(encoder.prompt(Query("q", query), Document(str(number), text), answer_tokens=200, order=order))
    return prompts


def _words(encoder: PromptEncoder, words: Sequence[str], tokens: int) -> str:
    """So many of the words that they make about so many tokens."""
    return encoder.text(encoder.plain(" ".join(words[: tokens + 1]))[:tokens])


def stratified(prompts: Sequence[Prompt], count: int) -> list[int]:
    """Places of prompts in the middle of each of `count` equal parts by length."""
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place].ids))
    return [order[(2 * part + 1) * len(order) // (2 * count)] for part in range(count)]


class Bench:
    """The model, its prompts, and each side as a function with the number of documents that it does."""

    def __init__(self, name: str, count: int, best: Precision) -> None:
        self.name = name
        opened = load_judge(RankerSettings(name))
        self.exact, self.encoder = opened.engine, opened.encoder
        self.model = self.exact.model
        self.best = best
        # The model's own settings may cut documents shorter than what is measured here.
        whole = PromptEncoder(self.encoder.tokenizer, PromptSettings())
        self.prompts = [p.then(self.encoder.label_lead) for p in workload(whole, "grade_first", count)]
        self.reasoned = workload(whole, "reason_first", count)
        self.slow = stratified(self.prompts, SLOW)
        self.remarks: dict[str, str] = {}

    @property
    def folder(self) -> Path:
        """The model's own, or for one with an adapter a new one with both in it."""
        if not any((Path(self.name) / file).is_file() for file in ("manifest.json", "adapter_config.json")):
            return find_model(self.name).folder
        folder = Path(tempfile.mkdtemp())
        self.model.save_pretrained(folder)
        return folder

    def score(self, engine: TransformersEngine) -> list[LabelLogits]:
        """Grade all documents."""
        return engine.label_logits(self.prompts, self.encoder.label_ids)

    def reason(self) -> list[tuple[Completion, LabelLogits]]:
        """Write an explanation for every document, then grade it; no answer ends early."""

        def continuation(completion: Completion) -> tuple[int, ...]:
            own = before_label(self.encoder, completion)
            return (*own, *(self.encoder.gap if own else ()), *self.encoder.label_lead)

        asked = ForcedLabels(continuation, self.encoder.label_ids)
        return self.exact.generate_graded(self.reasoned, Sampling(NEW_TOKENS), asked, end=-1)

    def check_scores(self) -> None:
        """Ours equal a plain forward pass one by one."""
        some = [self.prompts[place] for place in self.slow]
        for prompt, ours in zip(some, self.exact.label_logits(some, self.encoder.label_ids), strict=True):
            plain = rivals.plain_logits(self.model, prompt.ids)[list(self.encoder.label_ids)].tolist()
            # Float32 in another order; of a trained adapter 1.1e-5 was seen.
            _close(ours.logits, plain, 2e-5, "a plain forward pass")

    def rankings(self) -> dict[str, Any]:
        """How each precision ranks beside float32, and whether that keeps the ranking."""
        exact = judged(self.exact, self.encoder)
        figures: dict[str, Any] = {"exact_ndcg": exact.ndcg, "exact_seconds": exact.seconds}
        for precision in ROUNDED:
            found = judged(TransformersEngine(self.model, precision=precision), self.encoder)
            tau = statistics.fmean(map(rivals.kendall, exact.scores, found.scores))
            kept = tau >= KEPT_TAU and abs(found.ndcg - exact.ndcg) <= KEPT_NDCG
            figures |= {f"{precision}_kendall_tau": tau, f"{precision}_ndcg": found.ndcg, f"{precision}_kept": kept}
            figures[f"{precision}_seconds"] = found.seconds
        return figures

    def side(self, name: str) -> Side | None:
        """A side, its outputs held against ours; None, with a remark, where it cannot run."""
        ids, count = self.encoder.label_ids, len(self.prompts)
        match name:
            case "score":
                return lambda: self.score(self.exact), count
            case "score_best":
                engine = TransformersEngine(self.model, precision=self.best)
                self.remarks[name] = self.best
                return lambda: self.score(engine), count
            case "reason":
                return self.reason, count
            case "generate" | "generate_reason":
                prompts = self.prompts if name == "generate" else self.reasoned
                some = [prompts[place].ids for place in self.slow]
                return lambda: [rivals.generate(self.model, one, NEW_TOKENS) for one in some], SLOW
            case "batched":
                some = [self.prompts[place] for place in sorted(stratified(self.prompts, BATCHED))]
                batched = rivals.Batched(self.model, self.encoder.tokenizer, some, (ids[0], ids[2]))
                self.remarks[name] = batched.source
                ours = [i.logits[2] - i.logits[0] for i in self.exact.label_logits(some, ids)]
                _close(ours, batched.run(), 1e-3, name)
                return batched.run, len(some)
            case "continuous_batching":
                texts = [prompt.ids for prompt in self.reasoned]
                return lambda: rivals.continuous(self.model, texts, NEW_TOKENS), count
            case _:
                run, missing = rivals.vllm_scorer(self.folder, [p.ids for p in self.prompts], ids)
                self.remarks[name] = missing
                if run is None:
                    return None
                ours = [i.logits[2] - i.logits[0] for i in self.score(self.exact)]
                _close(ours, [row[2] - row[0] for row in run()], 1e-2, name)
                return run, count

    def check_texts(self, outputs: dict[str, Any]) -> None:
        """The texts of the last round: those of `generate` are ours, those of continuous batching are counted."""
        ours = [completion.ids for completion, _ in outputs["reason"]]
        for place, theirs in zip(self.slow, outputs.get("generate_reason", ()), strict=False):
            if tuple(theirs) != ours[place]:
                raise SystemExit(f"document {place}: generate wrote other tokens than we")
        if theirs := outputs.get("continuous_batching"):
            same = sum(one == other for one, other in zip(theirs, ours, strict=True))
            self.remarks["continuous_batching"] = f"{same} of {len(ours)} texts are the same"

    def operations(self) -> float:
        """Floating-point operations of `score`, in billions."""
        before = self.exact.work
        self.score(self.exact)
        whole = self.exact.flops(self.exact.work - before) or 0.0
        return (
            whole - rivals.spared(self.model.config, sum(len(p.ids) - len(p.prefix) - 1 for p in self.prompts))
        ) / 1e9


@dataclass(frozen=True, slots=True)
class Judged:
    """The sample benchmark's queries as one engine ranks BM25's candidates."""

    scores: list[list[float]]
    ndcg: float
    seconds: float


def judged(engine: TransformersEngine, encoder: PromptEncoder) -> Judged:
    """Rank them."""
    sample = load_benchmark(resource_dir("data") / "benchmark")
    queries = list(sample.queries.values())[:JUDGED]
    candidates = Bm25(list(sample.corpus.values())).rank(queries, top_k=CANDIDATES, excluded=sample.excluded)
    reranker = Reranker.on(engine, encoder)
    started = time.perf_counter()
    scores = [
        [
            item.score
            for item in reranker.graded(query, [sample.corpus[name] for name in candidates.doc_ids(query.query_id)])
        ]
        for query in queries
    ]
    seconds = time.perf_counter() - started
    found = [
        ScoredDoc(query.query_id, name, score)
        for query, row in zip(queries, scores, strict=True)
        for name, score in zip(candidates.doc_ids(query.query_id), row, strict=True)
    ]
    run = Run.from_scores(found, first_stage=candidates, tag="judged")
    asked = {query.query_id for query in queries}
    return Judged(scores, score_run([q for q in sample.qrels if q.query_id in asked], run).mean["nDCG@10"], seconds)


def _close(ours: Sequence[float], theirs: Sequence[float], tolerance: float, name: str) -> None:
    for one, other in zip(ours, theirs, strict=True):
        if abs(one - other) > tolerance * max(abs(one), abs(other), 1.0):
            raise SystemExit(f"{name} gives {other}, we {one}")


def in_turn(
    sides: dict[str, Side], rounds: int, clock: Callable[[], float]
) -> tuple[dict[str, float], dict[str, Any], list[str]]:
    """The median seconds a document of each side, one after the other and round by round, and the last outputs."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    outputs: dict[str, Any] = {}
    for number in range(rounds):
        for name, (run, count) in sides.items():
            started = clock()
            outputs[name] = run()
            taken[name].append((clock() - started) / count)
            print(f"round {number + 1} {name}: {taken[name][-1]:.4f} s a document", file=sys.stderr, flush=True)
    spread = [f"{name}: {min(s):.4f} to {max(s):.4f}" for name, s in taken.items()]
    return {name: statistics.median(s) for name, s in taken.items()}, outputs, spread


def figures_of(bench: Bench, names: Sequence[str], rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    """All that was asked for, in one run."""
    wanted = dict.fromkeys(side for name in names if name in RATIOS for side in RATIOS[name])
    if "roofline_share" in names:
        wanted["score"] = None
    made = {name: bench.side(name) for name in wanted}
    sides = {name: side for name, side in made.items() if side is not None}
    if "roofline_share" in names:
        one, other = torch.rand(MATRIX, MATRIX), torch.rand(MATRIX, MATRIX)
        sides["matrix"] = (lambda: [(one @ other).sum() for _ in range(10)], 10)
    seconds, outputs, spread = in_turn(sides, rounds, clock)
    if "reason" in outputs:
        bench.check_texts(outputs)
    lengths = sorted(len(prompt.ids) for prompt in bench.prompts)
    figures: dict[str, Any] = {"prompt_tokens": [lengths[0], lengths[-1]], "seconds_a_document": spread}
    for name in names:
        if name in RATIOS:
            theirs, ours = RATIOS[name]
            figures[name] = seconds[theirs] / seconds[ours] if {theirs, ours} <= seconds.keys() else None
            for side in (theirs, ours):
                if remark := bench.remarks.get(side):
                    figures[f"{name}_remark"] = remark
    if "matrix" in seconds:
        figures["score_gflops"] = bench.operations() / len(bench.prompts) / seconds["score"]
        figures["roofline_gflops"] = 2 * MATRIX**3 / 1e9 / seconds["matrix"]
        figures["roofline_share"] = figures["score_gflops"] / figures["roofline_gflops"]
    return figures


def main() -> None:
    """Run what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--model", default=MODEL, help="a name or a folder; an adapter too, which is merged")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5, help="the median of them counts (default 5)")
    parser.add_argument("--documents", type=int, default=100, help="of the query (default 100)")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: for a busy machine, one thread")
    parser.add_argument("--only", nargs="+", choices=EVERY, default=EVERY, metavar="NAME")
    parser.add_argument("--best", choices=ROUNDED, default=ROUNDED[0], help="the fastest that `rankings` finds kept")
    options = parser.parse_args()
    if options.clock == "cpu" and options.threads != 1:
        parser.error("--clock cpu adds up the threads' seconds, also those that they wait in; give --threads 1")
    torch.set_num_threads(options.threads)
    bench = Bench(options.model, options.documents, options.best)
    figures: dict[str, Any] = {
        "machine": f"{rivals.processor()}, {options.threads} threads, {platform.system()}, torch {torch.__version__}",
        "date": datetime.date.today().isoformat(),
        "model": options.model,
        "documents": options.documents,
        "rounds": options.rounds,
        "clock": options.clock,
        "load": list(os.getloadavg()),
    }
    bench.check_scores()
    if "rankings" in options.only:
        figures |= bench.rankings()
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    figures |= figures_of(bench, options.only, options.rounds, clock)
    for name, value in figures.items():
        print(f"{name:36} {value:.3f}" if isinstance(value, float) else f"{name:36} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
