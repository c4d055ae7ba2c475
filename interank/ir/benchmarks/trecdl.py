"""TREC's Deep Learning tracks: topics and qrels by year, passages from the collection or from RankGPT's candidates."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from interank.errors import InputError
from interank.ir.benchmarks.assembly import Parts, assemble
from interank.ir.benchmarks.beir import RUN_NAME, files_named, only_file
from interank.ir.benchmarks.benchmark import Benchmark, BenchmarkOptions
from interank.ir.benchmarks.documents import read_corpus, read_tab_corpus
from interank.ir.benchmarks.rankgpt import read_rankgpt
from interank.ir.benchmarks.topics import read_tab_topics
from interank.ir.trec import read_run
from interank.types import Document

# topics.dl19-passage.txt, or NIST's and Microsoft's own names: msmarco-test2019-queries.tsv, 2019qrels-pass.txt.
_TOPICS = (
    re.compile(r"topics\.(?P<task>[^.-]+)(?:-[^.]+)?\.(?:txt|tsv)(?:\.gz)?"),
    re.compile(r"msmarco-test20(?P<year>\d\d)-queries\.tsv(?:\.gz)?"),
)
_QRELS = (
    re.compile(r"qrels\.(?P<task>[^.-]+)(?:-[^.]+)?\.(?:txt|tsv)(?:\.gz)?"),
    re.compile(r"20(?P<year>\d\d)qrels-pass\.txt(?:\.gz)?"),
)
_RANKGPT = re.compile(r".+\.json(?:\.gz)?")
_COLLECTION = re.compile(r"collection\.tsv(?:\.gz)?|corpus\.jsonl(?:\.gz)?")


def trec_tasks(folder: Path) -> dict[str, Path]:
    """The folder's topics by task: `dl19`, `dl20`.

    Raises:
        InputError: A task has two files of topics.
    """
    return _by_task(folder, _TOPICS)


def load_trec(folder: Path, name: str, wanted: BenchmarkOptions) -> Benchmark:
    """Read one of the folder's tasks.

    Candidates with text, as RankGPT publishes them (`*_dl19.json`), are the run, and the documents too if there is no
    `collection.tsv` or `corpus.jsonl`. Without such candidates the run is a file like `*.dl19.trec`.

    Raises:
        InputError: A file is missing, damaged, or does not fit the others.
    """
    if wanted.split is not None:
        raise InputError(f"{folder} has tasks and no splits; leave split={wanted.split} out")
    topics_file = trec_tasks(folder)[name]
    qrels = wanted.qrels or _by_task(folder, _QRELS).get(name)
    if qrels is None:
        raise InputError(
            f"{folder} has no qrels.{name}-passage.txt, the qrels of {name}; add it, or name others with qrels=FILE"
        )
    sources: dict[str, tuple[Path, ...]] = {"queries": (topics_file,), "qrels": (qrels,)}
    counts: Counter[str] = Counter()
    collection = only_file(folder, files_named(folder, _COLLECTION), "collections")
    of_task = re.compile(rf"(?:^|.*[._-]){re.escape(name)}(?:[._-].*|$)")
    packed_files = [path for path in files_named(folder, _RANKGPT) if of_task.match(path.name)]
    packed = only_file(folder, packed_files, f"candidates of {name}")
    run = corpus = None
    if packed and (wanted.with_run or (wanted.need_text and not collection)):
        _, passages, run = read_rankgpt(packed)
        sources["run"] = (packed,)
        if wanted.need_text and not collection:
            corpus, sources["corpus"] = passages, (packed,)
    elif wanted.with_run:
        runs = [path for path in files_named(folder, RUN_NAME) if of_task.match(path.name)]
        if run_file := only_file(folder, runs, f"runs of {name}"):
            run, sources["run"] = read_run(run_file), (run_file,)
    if wanted.need_text and corpus is None:
        corpus = _collection(folder, name, collection, counts)
        sources["corpus"] = (collection,) if collection else ()
    parts = Parts(
        name=name,
        folder=folder,
        topics=read_tab_topics(topics_file),
        qrels_file=qrels,
        corpus=corpus,
        sources=sources,
        counts=counts,
        run=run if wanted.with_run else None,
        # The candidates are a small part of the collection, and most judged passages are not among them.
        is_partial=wanted.partial_corpus or collection is None,
    )
    return assemble(parts)


def _collection(folder: Path, name: str, collection: Path | None, counts: Counter[str]) -> dict[str, Document]:
    if collection is None:
        raise InputError(
            f"{folder} lacks the passages: it has no candidates with text (*_{name}.json), no collection.tsv "
            "and no corpus.jsonl; add MS MARCO's collection.tsv or RankGPT's file, or score stored runs, "
            "which needs no text"
        )
    if collection.name.startswith("corpus"):
        return read_corpus([collection], counts)
    return read_tab_corpus(collection, counts, quoted=False)


def _by_task(folder: Path, patterns: tuple[re.Pattern[str], ...]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for pattern in patterns:
        for path in files_named(folder, pattern):
            if match := pattern.fullmatch(path.name):
                named = match.groupdict()
                task = named.get("task") or f"dl{named.get('year')}"
                if task in files:
                    raise InputError(
                        f"{folder} has both {files[task].name} and {path.name} for {task}; keep one of the two"
                    )
                files[task] = path
    return dict(sorted(files.items()))
