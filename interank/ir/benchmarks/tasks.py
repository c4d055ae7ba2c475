"""The tasks of a benchmark, in any layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from interank.errors import InputError
from interank.ir.benchmarks.assembly import Parts, assemble
from interank.ir.benchmarks.beir import is_beir, load_beir
from interank.ir.benchmarks.benchmark import EVERYTHING, Benchmark, BenchmarkOptions
from interank.ir.benchmarks.bright import BrightFolder
from interank.ir.benchmarks.hub import fetch, is_repository
from interank.ir.benchmarks.names import chosen_names, task_name, where_to_get
from interank.ir.benchmarks.noveleval import is_noveleval, load_noveleval
from interank.ir.benchmarks.rankgpt import read_rankgpt
from interank.ir.benchmarks.topics import Topic
from interank.ir.benchmarks.trecdl import load_trec, trec_tasks
from interank.wording import listed

_Loader = Callable[[BenchmarkOptions], Benchmark]

# Levels of folders to look through: BEIR's root holds CQADupStack's folder, which holds one for each forum.
_DEEPEST = 2


def load_tasks(path: Path | str, wanted: BenchmarkOptions = EVERYTHING) -> list[Benchmark]:
    """Read the wanted tasks of a benchmark.

    `path` names one of these:

    * BRIGHT: a data set on the hub (`xlangai/BRIGHT`), or a folder with `examples/` or `topics/`, a file for each
      task (Parquet or JSONL), and `documents/`, `long_documents/`, rewritten queries (`gpt4_reason/`),
      `qrels/TASK.txt` or `qrels/TASK.fixed.txt`;
    * a folder in BEIR's layout, also for a benchmark of your own (see `load_benchmark`), or a folder of such folders;
    * a folder with TREC topics and qrels (`topics.dl19-passage.txt`, `qrels.dl19-passage.txt`), and candidates with
      text as RankGPT publishes them, or a collection;
    * NovelEval's folder in RankGPT's repository;
    * one of RankGPT's candidate files, together with the option `qrels`.

    Raises:
        InputError: There is no benchmark, or a wanted part is missing, damaged or does not fit the others.
    """
    where = Path(path)
    if is_repository(path):
        where = fetch(str(path), wanted)
    if not where.exists():
        raise InputError(
            f"{where} does not exist; {where_to_get(where.name)}name a benchmark's folder, a RankGPT file, or "
            "a data set on the hub such as xlangai/BRIGHT"
        )
    bright = BrightFolder.open(where)
    if bright is not None:
        names = chosen_names(path, wanted.tasks, bright.queries) if wanted.tasks else bright.tasks(wanted)
        if not names:
            raise InputError(f"{where} has no task with long documents (gold_ids_long); take documents=short")
        _check_one(where, names, wanted)
        return [bright.load(name, wanted) for name in names]
    for option, value in (("qrels_form=fixed", wanted.qrels_form == "fixed"), ("rewritten", wanted.rewritten)):
        if value:
            raise InputError(f"{where} is not BRIGHT, and only BRIGHT has {option}; leave it out")
    if wanted.documents == "long":
        raise InputError(f"{where} is not BRIGHT, and only BRIGHT has long documents; leave documents=long out")
    loaders = _loaders(where)
    names = chosen_names(where, wanted.tasks, loaders)
    _check_one(where, names, wanted)
    return [loaders[name](wanted) for name in names]


def _check_one(where: Path, names: list[str], wanted: BenchmarkOptions) -> None:
    if wanted.qrels is not None and len(names) > 1:
        raise InputError(
            f"{where} has the tasks {listed(names)}, and the qrels {wanted.qrels} can belong to one only, since each "
            "task has its own ids; name one with tasks=NAME"
        )


def _loaders(where: Path) -> dict[str, _Loader]:
    """The loader of each task, by the task's name."""
    if where.is_file():
        return {task_name(where.name.partition(".")[0]): partial(_load_rankgpt, where)}
    loaders = _loaders_below(where, task_name(where.resolve().name), 0)
    if not loaders:
        raise InputError(
            f"{where} holds no benchmark of a known form: queries.jsonl with corpus.jsonl and qrels, BRIGHT's "
            "examples/ or topics/, topics.*.txt with qrels.*.txt, or NovelEval's corpus.tsv with "
            "queries.tsv; name such a folder"
        )
    return loaders


def _loaders_below(folder: Path, name: str, depth: int) -> dict[str, _Loader]:
    if is_beir(folder):
        return {name: partial(load_beir, folder, name)}
    if is_noveleval(folder):
        return {name: partial(load_noveleval, folder, name)}
    if topics := trec_tasks(folder):
        return {task: partial(load_trec, folder, task) for task in topics}
    below: dict[str, _Loader] = {}
    for child in sorted(folder.iterdir()) if depth < _DEEPEST else ():
        if child.is_dir() and not child.name.startswith("."):
            inner = task_name(child.name) if depth == 0 else f"{name}_{task_name(child.name)}"
            below |= _loaders_below(child, inner, depth + 1)
    return below


def _load_rankgpt(path: Path, wanted: BenchmarkOptions) -> Benchmark:
    if wanted.split is not None:
        raise InputError(f"{path} is one file of candidates and has no splits; leave split={wanted.split} out")
    if wanted.qrels is None:
        raise InputError(f"{path} holds candidates without human judgments; give qrels=FILE too")
    queries, corpus, run = read_rankgpt(path)
    sources: dict[str, tuple[Path, ...]] = {"queries": (path,), "qrels": (wanted.qrels,)}
    sources |= {"corpus": (path,)} if wanted.need_text else {}
    sources |= {"run": (path,)} if wanted.with_run else {}
    parts = Parts(
        name=task_name(path.name.partition(".")[0]),
        folder=path,
        topics={query.query_id: Topic(str(path), query) for query in queries},
        qrels_file=wanted.qrels,
        corpus=corpus if wanted.need_text else None,
        sources=sources,
        counts=Counter(),
        run=run if wanted.with_run else None,
        # The candidates are a small part of the collection, and most judged passages are not among them.
        is_partial=True,
    )
    return assemble(parts)
