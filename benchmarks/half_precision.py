"""What bfloat16 does to scores: ties among a query's documents and Kendall's tau with float32, by how grades are read.

    python benchmarks/half_precision.py MODEL [--queries 8] [--documents 36] [--json FILE]

MODEL is an output of `distill` or `rl`, a PEFT adapter or a model; its adapter stays apart from its base, as on a GPU.
The sample benchmark's queries are asked with BM25's first documents. Both ways read the same hidden states of the model
in bfloat16: `upcast` takes the labels' logits of the vocabulary's product in bfloat16, as was done before, `float32`
multiplies the labels' rows in float32, as engines do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from scipy.stats import kendalltau

from interank import judging
from interank.engines.adapters import with_adapter
from interank.engines.budget import budget_of
from interank.engines.models import load_model, load_tokenizer
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.transformers import label_logits_of
from interank.engines.tree.runner import TreeRunner
from interank.ir.benchmarks import load_benchmark
from interank.ir.bm25 import Bm25
from interank.resources import resource_dir
from interank.tasks.sources import Source, find_source

Scores = list[list[float]]
ROOM = 16


def asked(encoder: PromptEncoder, queries: int, documents: int) -> list[list[Prompt]]:
    """Each query's prompts, up to where the grade stands."""
    sample = load_benchmark(resource_dir("data") / "benchmark")
    chosen = list(islice(sample.queries.values(), queries))
    candidates = Bm25(list(sample.corpus.values())).rank(chosen, top_k=documents, excluded=sample.excluded)
    return [
        [
            encoder.prompt(query, sample.corpus[name], answer_tokens=ROOM, order="grade_first").then(encoder.label_lead)
            for name in candidates.doc_ids(query.query_id)
        ]
        for query in chosen
    ]


@torch.inference_mode()
def scores(model: Any, prompts: Sequence[Sequence[Prompt]], labels: Sequence[int], *, exact: bool) -> Scores:
    """Each query's scores, the labels' logits as float32 products or as the model gives them."""
    runner, found = TreeRunner(model), []
    for some in prompts:
        own = [0.0] * len(some)
        for places, logits in runner.logits(some, budget_of(model), labels if exact else ()):
            for place, item in zip(places, label_logits_of(logits, labels), strict=True):
                own[place] = judging.score(item.logits)
        found.append(own)
    return found


def told(found: Scores, reference: Scores) -> dict[str, float]:
    """Documents with a score of their own, of how many, and Kendall's tau-b with the reference; means over queries."""
    taus = [float(kendalltau(one, two).statistic) for one, two in zip(found, reference, strict=True)]
    return {
        "documents": fmean(map(len, found)),
        "distinct": round(fmean(len({*own}) for own in found), 2),
        "kendall_tau": round(fmean(taus), 4),
        "least_tau": round(min(taus), 4),
        "largest_difference": round(
            max(abs(a - b) for one, two in zip(found, reference, strict=True) for a, b in zip(one, two, strict=True)), 4
        ),
    }


def opened(source: Source, precision: Any) -> Any:
    """The model, its adapter apart."""
    model = load_model(source.files, precision=precision)
    return with_adapter(model, source.adapter).eval() if source.adapter else model


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--queries", type=int, default=8)
    parser.add_argument("--documents", type=int, default=36)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    source = find_source(options.model, None)
    encoder = PromptEncoder(load_tokenizer(source.tokenizer), source.prompt())
    prompts = asked(encoder, options.queries, options.documents)
    reference = scores(opened(source, "float32"), prompts, encoder.label_ids, exact=True)
    half = opened(source, "bfloat16")
    figures = {
        "spread": round(fmean(float(torch.tensor(own).std()) for own in reference), 4),
        "float32 model": told(reference, reference),
        "bfloat16, upcast": told(scores(half, prompts, encoder.label_ids, exact=False), reference),
        "bfloat16, float32 products": told(scores(half, prompts, encoder.label_ids, exact=True), reference),
    }
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
