"""BM25 beside its references: BRIGHT's script (gensim, a dictionary per query), and bm25s compiled by numba.

    pip install -c constraints.txt -e '.[benchmarks]'
    OMP_NUM_THREADS=1 python benchmarks/bm25.py --json bm25.json

Both sides read the same texts through the same analysis, in turns within one run, on one thread. What they give is
compared before anything is reported. A figure is the median of the rounds, in seconds of the processor, which programs
running beside it change little; a ratio is how many times as fast we are.

The corpus is made: words by Zipf's law, queries as long as BRIGHT's. Where INTERANK_REAL_DATA names the folder of real
collections, SciFact is measured too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
from gensim.corpora import Dictionary
from gensim.models import LuceneBM25Model
from gensim.similarities import SparseMatrixSimilarity

from interank.ir.benchmarks import load_benchmark
from interank.ir.bm25 import Bm25, analyze_english, tokenize
from interank.ir.bm25.postings import K1, B, Postings
from interank.types import Document, Query, Run

ROUNDS = 5
TOP_K = 1000  # what BRIGHT's script keeps
DOCUMENTS, QUERIES, VOCABULARY = 100_000, 100, 200_000
# The dictionaries take so long that a part of the queries tells.
SCRIPT_QUERIES = 25

Rankings = dict[str, dict[str, float]]


def made_texts(lengths: np.ndarray[Any, Any], words: np.ndarray[Any, Any], rng: np.random.Generator) -> list[str]:
    """Texts of these lengths, of words by Zipf's law."""
    chances = 1 / (np.arange(len(words)) + 10.0)
    drawn = words[rng.choice(len(words), p=chances / chances.sum(), size=lengths.sum())]
    return [" ".join(part) for part in np.split(drawn, np.cumsum(lengths)[:-1])]


def made_corpus() -> tuple[list[Document], list[Query]]:
    """Documents of 75 words at the median, queries of 130, each with a long tail."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{number}" for number in rng.permutation(VOCABULARY)])
    documents = made_texts(np.clip(rng.lognormal(4.3, 0.7, DOCUMENTS), 3, 3000).astype(int), words, rng)
    queries = made_texts(np.clip(rng.lognormal(4.9, 0.6, QUERIES), 10, 2000).astype(int), words, rng)
    return (
        [Document(f"d{number}", text) for number, text in enumerate(documents)],
        [Query(f"q{number}", text) for number, text in enumerate(queries)],
    )


class Script:
    """What BRIGHT's script does about BM25, step by step (xlang-ai/BRIGHT, retrievers.py)."""

    def __init__(self, documents: list[Document]) -> None:
        terms = [analyze_english(document.full_text) for document in documents]
        self.doc_ids = [document.doc_id for document in documents]
        self.dictionary = Dictionary(terms)
        self.model = LuceneBM25Model(dictionary=self.dictionary, k1=K1, b=B)
        self.index = SparseMatrixSimilarity(
            self.model[[self.dictionary.doc2bow(each) for each in terms]],
            num_docs=len(terms),
            num_terms=len(self.dictionary),
            normalize_queries=False,
            normalize_documents=False,
        )

    def rank(self, queries: list[Query]) -> Rankings:
        """A dictionary of all documents' scores for each query, sorted as a whole."""
        rankings = {}
        for query in queries:
            scores = self.index[self.model[self.dictionary.doc2bow(analyze_english(query.text))]].tolist()
            every = dict(zip(self.doc_ids, scores, strict=True))
            rankings[query.query_id] = dict(sorted(every.items(), key=lambda item: item[1], reverse=True)[:TOP_K])
        return rankings


def in_turns(sides: dict[str, Callable[[], Any]]) -> tuple[dict[str, float], dict[str, Any]]:
    """Each side's median seconds, and what it gave; a round that nobody counts comes first."""
    results = {name: side() for name, side in sides.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            start = time.process_time()
            side()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}, results


def differences(run: Run, rankings: Rankings) -> tuple[float, float]:
    """The largest difference between two scores of the same document, absolute and relative to the score."""
    absolute = relative = 0.0
    for query_id, expected in rankings.items():
        found = [doc_id for doc_id, score in expected.items() if score > 0]
        assert run.doc_ids(query_id) == found, f"query {query_id}: the rankings differ"
        for item in run[query_id]:
            difference = abs(item.score - expected[item.doc_id])
            absolute, relative = max(absolute, difference), max(relative, difference / expected[item.doc_id])
    assert relative < 1e-5, f"scores differ by {relative} of the score"
    return absolute, relative


def query_side(documents: list[Document], queries: list[Query]) -> dict[str, float]:
    """BM25Q, from the text of the queries to rankings."""
    start = time.process_time()
    index = Bm25(documents, "bm25q")
    index_seconds = time.process_time() - start
    script = Script(documents)
    seconds, results = in_turns(
        {"ours": lambda: index.rank(queries, top_k=TOP_K), "script": lambda: script.rank(queries)}
    )
    absolute, relative = differences(results["ours"], results["script"])
    return {
        "bm25q_vs_bright_script": round(seconds["script"] / seconds["ours"], 2),
        "max_score_difference": absolute,
        "max_relative_score_difference": relative,
        "bm25q_index_seconds": round(index_seconds, 2),
        "bm25q_queries_per_second": round(len(queries) / seconds["ours"], 1),
        "bright_script_queries_per_second": round(len(queries) / seconds["script"], 1),
    }


def plain(documents: list[Document], queries: list[Query]) -> dict[str, float]:
    """Plain BM25, from the tokens of the queries to positions and scores."""
    top_k = min(TOP_K, len(documents))
    corpus = [tokenize(document.full_text) for document in documents]
    asked = [tokenize(query.text) for query in queries]
    ours = Postings(corpus, "counts")
    theirs = bm25s.BM25(k1=K1, b=B, method="atire", idf_method="lucene", backend="numba")
    theirs.index(corpus, show_progress=False)
    seconds, results = in_turns(
        {
            "ours": lambda: [ours.search(tokens, top_k) for tokens in asked],
            "bm25s": lambda: theirs.retrieve(asked, k=top_k, show_progress=False, n_threads=0),
        }
    )
    positions, scores = results["bm25s"]
    for (own_positions, own_scores), their_positions, their_scores in zip(
        results["ours"], positions, scores, strict=True
    ):
        count = len(own_scores)
        # Neighbours whose scores differ in the last bit may stand the other way round, at the cut as well.
        assert np.allclose(own_scores, their_scores[:count], rtol=1e-5), "bm25s scores otherwise"
        assert not their_scores[count:].any(), "bm25s ranks more documents"
        sure = own_scores > own_scores[-1] * (1 + 1e-5)
        assert set(own_positions[sure]) <= set(their_positions), "bm25s ranks other documents"
    return {
        "bm25_vs_bm25s": round(seconds["bm25s"] / seconds["ours"], 2),
        "bm25_queries_per_second": round(len(queries) / seconds["ours"], 1),
        "bm25s_queries_per_second": round(len(queries) / seconds["bm25s"], 1),
    }


def machine() -> str:
    """The processor, how many cores may be used, and the Python that ran."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text("utf-8").splitlines() if information.is_file() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def measured() -> dict[str, Any]:
    """Everything, on the made corpus and, if it is there, on SciFact."""
    documents, queries = made_corpus()
    figures: dict[str, Any] = {"machine": machine(), "date": datetime.date.today().isoformat()}
    figures |= {"documents": len(documents), "queries": len(queries), "script_queries": SCRIPT_QUERIES}
    figures |= plain(documents, queries) | query_side(documents, queries[:SCRIPT_QUERIES])
    folder = os.environ.get("INTERANK_REAL_DATA")
    if folder:
        scifact = load_benchmark(Path(folder) / "beir" / "scifact", "test")
        documents, queries = list(scifact.corpus.values()), list(scifact.queries.values())
        start = time.process_time()
        for document in documents:
            analyze_english(document.full_text)
        analysis = len(documents) / (time.process_time() - start)
        real = plain(documents, queries) | query_side(documents, queries)
        real |= {"analyzed_documents_per_second": round(analysis)}
        figures |= {f"scifact_{name}": value for name, value in real.items()}
        for name in ("max_score_difference", "max_relative_score_difference"):
            figures[name] = max(figures[name], figures[f"scifact_{name}"])
    return figures


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    arguments = parser.parse_args()
    figures = measured()
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
