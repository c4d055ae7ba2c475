"""NovelEval in the layout of RankGPT's repository: corpus.tsv, queries.tsv, qrels.txt, and candidates in data.json."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from interank.errors import InputError
from interank.ir.benchmarks.assembly import Parts, assemble
from interank.ir.benchmarks.benchmark import Benchmark, BenchmarkOptions
from interank.ir.benchmarks.documents import read_tab_corpus
from interank.ir.benchmarks.rankgpt import read_rankgpt
from interank.ir.benchmarks.topics import read_tab_topics

CORPUS, QUERIES, QRELS, CANDIDATES = "corpus.tsv", "queries.tsv", "qrels.txt", "data.json"


def is_noveleval(folder: Path) -> bool:
    """Whether the folder has NovelEval's queries and passages."""
    return (folder / QUERIES).is_file() and (folder / CORPUS).is_file()


def load_noveleval(folder: Path, name: str, wanted: BenchmarkOptions) -> Benchmark:
    """Read the folder.

    Raises:
        InputError: A file is missing, damaged, or does not fit the others.
    """
    if wanted.split is not None:
        raise InputError(f"{folder} has no splits; leave split={wanted.split} out")
    qrels = wanted.qrels or folder / QRELS
    if not qrels.is_file():
        raise InputError(f"{folder} has no {QRELS}, its human judgments; add it, or name others with qrels=FILE")
    sources: dict[str, tuple[Path, ...]] = {"queries": (folder / QUERIES,), "qrels": (qrels,)}
    counts: Counter[str] = Counter()
    corpus = None
    if wanted.need_text:
        sources["corpus"] = (folder / CORPUS,)
        corpus = read_tab_corpus(folder / CORPUS, counts, quoted=True)
    run = None
    if wanted.with_run and (folder / CANDIDATES).is_file():
        sources["run"] = (folder / CANDIDATES,)
        # Its queries and passages are those of the other files.
        run = read_rankgpt(folder / CANDIDATES)[2]
    parts = Parts(
        name=name,
        folder=folder,
        topics=read_tab_topics(folder / QUERIES),
        qrels_file=qrels,
        corpus=corpus,
        sources=sources,
        counts=counts,
        run=run,
        is_partial=wanted.partial_corpus,
    )
    return assemble(parts)
