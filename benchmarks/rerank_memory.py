"""The most memory that reranking takes: 10,000 documents for one query, and 1,000 queries in a stream."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from interank import Reranker
from interank.ir.benchmarks import read_documents
from interank.resources import resource_dir
from interank.types import Document, Query, Run, ScoredDoc

DOCUMENTS, QUERIES, CANDIDATES = 10_000, 1_000, 20


def peak() -> float:
    """The most that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def texts(count: int, words: int) -> list[Document]:
    """Documents of the sample benchmark's words, on average so many of them."""
    rng = random.Random(0)
    source = [d.text for d in read_documents(resource_dir("data") / "benchmark" / "corpus.jsonl").values()]
    vocabulary = " ".join(source).split()
    made = []
    for number in range(count):
        length = rng.randint(words // 2, words * 3 // 2)
        start = rng.randrange(len(vocabulary) - length) if length < len(vocabulary) else 0
        made.append(Document(str(number), " ".join(vocabulary[start : start + length])))
    return made


def main() -> None:
    """Rank, and print the peaks; each is the whole process's, the model and torch included."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--words", type=int, default=260, help="of a document on average (default 260)")
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help="of each query in the stream (default 20)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    documents = texts(options.documents, options.words)
    reranker = Reranker(options.model)
    question = "How do I keep a backup that I can rely on?"
    reranker.rank(question, documents[:2])
    figures: dict[str, object] = {
        "machine": platform.platform(),
        "date": datetime.date.today().isoformat(),
        "model": options.model,
        "opened_mib": round(peak()),
    }
    started = time.process_time()
    for count in (options.documents // 10, options.documents):
        assert len(reranker.rank(question, documents[:count])) == count
        figures[f"peak_mib_{count}_documents"] = round(peak())
        print(count, figures, f"{time.process_time() - started:.0f} s", file=sys.stderr, flush=True)
    corpus = {document.doc_id: document for document in documents}
    rng = random.Random(1)

    def queries() -> Iterator[Query]:
        for number in range(options.queries):
            yield Query(str(number), f"{question} ({number})")

    ids = list(corpus)
    candidates = Run(
        {
            str(number): [ScoredDoc(str(number), name, -float(place)) for place, name in enumerate(chosen)]
            for number, chosen in enumerate(
                rng.sample(ids, min(options.candidates, len(ids))) for _ in range(options.queries)
            )
        },
        tag="first",
    )
    for done, (_, ranking) in enumerate(reranker.stream(queries(), candidates, corpus), start=1):
        assert len(ranking) == min(options.candidates, len(ids))
        if done in (options.queries // 10, options.queries):
            figures[f"peak_mib_{done}_queries"] = round(peak())
    figures["cpu_seconds"] = round(time.process_time() - started)
    for name, value in figures.items():
        print(f"{name:28} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
