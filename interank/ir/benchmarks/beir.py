"""BEIR's layout, also for a benchmark of your own: corpus, queries and qrels, with or without splits."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from interank.errors import InputError
from interank.ir.benchmarks.assembly import Parts, assemble
from interank.ir.benchmarks.benchmark import Benchmark, BenchmarkOptions
from interank.ir.benchmarks.documents import read_corpus
from interank.ir.benchmarks.names import task_name
from interank.ir.benchmarks.topics import read_topics
from interank.ir.trec import read_run
from interank.wording import listed

EXCLUSIONS_FILE = "excluded_source_docs.tsv"

QUERIES_NAME = re.compile(r"queries(?:\.(?P<split>[^.]+))?\.jsonl(?:\.gz)?")
RUN_NAME = re.compile(r".+\.(?:trec|run)(?:\.gz)?|run\..+")

_QRELS_NAME = re.compile(r"qrels(?:(?:\.(?P<split>[^.]+))?\.(?:tsv|txt))?(?:\.gz)?")
_QRELS_IN_FOLDER_NAME = re.compile(r"(?P<split>[^.]+)\.(?:tsv|txt)(?:\.gz)?")
_CORPUS_NAME = re.compile(r"corpus\.jsonl(?:\.gz)?")


def load_benchmark(
    folder: Path, split: str | None = None, *, qrels: Path | None = None, with_run: bool = True
) -> Benchmark:
    """Read a benchmark folder.

    It holds `corpus.jsonl`, `queries.jsonl` or `queries.SPLIT.jsonl`, and `qrels.tsv`, `qrels.SPLIT.tsv` or
    `qrels/SPLIT.tsv`, each plain or `.gz`. One run (`*.trec`, `*.run`, `run.*`) and `excluded_source_docs.tsv` are
    optional. Rows have BEIR's columns (`_id, title, text`) or BRIGHT's (`id, content` and
    `id, query, excluded_ids, gold_ids`). Without a qrels file each of BRIGHT's `gold_ids` has relevance 1.

    Args:
        folder: The folder with the files.
        split: The split to read; needed if there are several.
        qrels: A file of human judgments to use in place of the folder's.
        with_run: Whether to look for a run; not needed if candidates come from elsewhere.

    Raises:
        InputError: A file is missing, damaged or ambiguous, or the files do not fit together.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; name one that holds a benchmark")
    wanted = BenchmarkOptions(split=split, qrels=qrels, with_run=with_run)
    return load_beir(folder, task_name(folder.resolve().name), wanted)


def load_beir(folder: Path, name: str, wanted: BenchmarkOptions) -> Benchmark:
    """Read a folder as `load_benchmark` does; `name` becomes the task's name."""
    queries_file, own_qrels = _choose_split(folder, wanted.split)
    qrels_file = wanted.qrels or own_qrels
    counts: Counter[str] = Counter()
    sources: dict[str, tuple[Path, ...]] = {"queries": (queries_file,)}
    if qrels_file is not None:
        sources["qrels"] = (qrels_file,)
    corpus = None
    if wanted.need_text:
        corpus_file = _by_split(folder, _CORPUS_NAME).get(None)
        if corpus_file is None:
            raise InputError(
                f"{folder} has no corpus.jsonl, plain or gzipped; add the documents, or score stored runs, "
                "which needs no text"
            )
        sources["corpus"] = (corpus_file,)
    topics = read_topics([queries_file])
    if "corpus" in sources:
        corpus = read_corpus(sources["corpus"], counts)
    exclusions = folder / EXCLUSIONS_FILE
    if exclusions.exists():
        sources["exclusions"] = (exclusions,)
    run_file = _run_file(folder, wanted.split) if wanted.with_run else None
    if run_file:
        sources["run"] = (run_file,)
    parts = Parts(
        name=name,
        folder=folder,
        topics=topics,
        qrels_file=qrels_file,
        corpus=corpus,
        sources=sources,
        counts=counts,
        exclusions_file=exclusions if exclusions.exists() else None,
        run=read_run(run_file) if run_file else None,
        is_partial=wanted.partial_corpus,
    )
    return assemble(parts)


def is_beir(folder: Path) -> bool:
    """Whether the folder has queries or a corpus in this layout."""
    return bool(files_named(folder, QUERIES_NAME) or files_named(folder, _CORPUS_NAME))


def files_named(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """The folder's files whose whole name matches, sorted."""
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.is_file() and pattern.fullmatch(path.name)]


def only_file(folder: Path, paths: list[Path], what: str) -> Path | None:
    """The only file among these; None if there is none.

    Raises:
        InputError: There are several.
    """
    if len(paths) > 1:
        raise InputError(
            f"{folder} has several {what}: {listed(path.name for path in paths)}; keep one there, and move the others "
            "out of the folder"
        )
    return paths[0] if paths else None


def _choose_split(folder: Path, split: str | None) -> tuple[Path, Path | None]:
    """The split's queries file and, if there is one, its qrels file."""
    queries = _by_split(folder, QUERIES_NAME)
    qrels = _by_split(folder, _QRELS_NAME)
    for name, path in _by_split(folder / "qrels", _QRELS_IN_FOLDER_NAME).items():
        if name in qrels:
            raise InputError(f"{folder} has both {qrels[name].name} and qrels/{path.name}; keep one of the two")
        qrels[name] = path
    splits = sorted({name for name in (*queries, *qrels) if name is not None})
    if split is None and max(len(splits), len(queries), len(qrels)) > 1:
        raise InputError(
            f"{folder} has the splits "
            f"{listed(splits)}{', and files of no split' if None in queries.keys() & qrels.keys() else ''}; "
            f"name one, for example split={splits[0]}"
        )
    if split is not None and split not in splits:
        raise InputError(f"{folder} has no split {split!r}; {_instead(splits)}")
    chosen = split if split is not None else next(iter(splits), None)
    queries_file = queries.get(chosen, queries.get(None))
    if queries_file is None:
        expected = "queries.jsonl" + (f" or queries.{chosen}.jsonl" if chosen else "")
        raise InputError(f"{folder} has no {expected}, plain or gzipped; add the queries")
    return queries_file, qrels.get(chosen, qrels.get(None))


def _instead(splits: list[str]) -> str:
    """The end of the message on an unknown split: which ones there are."""
    if not splits:
        return "it has no splits, so leave split= out"
    return f"it has {listed(splits)}: name one of these" if len(splits) > 1 else f"it has only {splits[0]}: name that"


def _by_split(folder: Path, pattern: re.Pattern[str]) -> dict[str | None, Path]:
    """The folder's files whose name matches, by the split in the name."""
    files: dict[str | None, Path] = {}
    for path in files_named(folder, pattern):
        match = pattern.fullmatch(path.name)
        split = match.groupdict().get("split") if match else None
        if split in files:
            raise InputError(f"{folder} has both {files[split].name} and {path.name}; keep one of the two")
        files[split] = path
    return files


def _run_file(folder: Path, split: str | None) -> Path | None:
    paths = files_named(folder, RUN_NAME)
    if len(paths) > 1 and split is not None:
        paths = [path for path in paths if f".{split}." in path.name] or paths
    return only_file(folder, paths, "runs")
