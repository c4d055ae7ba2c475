"""`interank queries`: has a model write search queries for a benchmark's questions, for the first stage."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interank.cli.next_step import say_next, word
from interank.cli.rerank import positive

if TYPE_CHECKING:
    from interank.ledger import Ledger
    from interank.types import Query

log = logging.getLogger(__name__)

_EPILOG = """\
example:
  interank queries runs/student --corpus DIR --out queries.jsonl
  interank evaluate evaluate/benchmark benchmark=DIR first_stage=bm25q first_stage_queries=queries.jsonl --out runs/eval

A killed command resumes when it is repeated. If the model writes no list of queries, the question itself is used."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "queries",
        parents=[common],
        help="write search queries for a first stage",
        description="Have a model write search queries for each question of a benchmark, for the first stage.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("model", metavar="MODEL", help="an output of distill or rl, or a model's folder or hub name")
    verb.add_argument("--corpus", metavar="DIR", required=True, help="a benchmark: a folder, or BRIGHT's hub name")
    verb.add_argument("--task", help="the task, where the benchmark has several")
    verb.add_argument("--split", help="the split of queries")
    verb.add_argument("--out", metavar="FILE", required=True, type=Path, help="a JSONL file, continued if it exists")
    verb.add_argument("--count", type=positive, default=5, metavar="N", help="queries for each question (default 5)")
    verb.add_argument("--max-tokens", type=positive, default=256, metavar="N", help="an answer's budget (default 256)")
    verb.add_argument("--batch", type=positive, default=16, metavar="N", help="questions at a time (default 16)")
    verb.set_defaults(run=_run, kept=("out",))


def _run(options: argparse.Namespace) -> int:
    from interank.locks import held
    from interank.outputs import check_file

    # Foreign rows in it are refused when it is read, before anything is written.
    check_file("--out", options.out, ours=lambda path: True)
    with held(options.out.resolve()):
        return _written(options)


def _written(options: argparse.Namespace) -> int:
    from interank.ledger import Ledger
    from interank.progress import track

    ledger = Ledger(options.out)
    done = _answered(options.out, ledger)
    questions = _questions(options)
    waiting = [query for query in questions if query.query_id not in done]
    starts = range(0, len(waiting), options.batch)
    if waiting:
        from interank.inputs import check_inputs, reranker

        check_inputs([reranker("MODEL", options.model)], glance=True)
        from interank.reranking.search_queries import search_queries
        from interank.tasks.judge.ranker import load_judge
        from interank.tasks.ranker_settings import RankerSettings

        model = load_judge(RankerSettings(options.model))
        for start in track(starts, what="queries", unit="batches", total=len(starts)):
            batch = waiting[start : start + options.batch]
            answers = search_queries(
                model.engine, model.encoder, batch, limit=options.count, max_new_tokens=options.max_tokens
            )
            ledger.append(
                {"_id": query.query_id, "queries": list(written or [query.text]), "written": written is not None}
                for query, written in zip(batch, answers, strict=True)
            )
    plain = sum(not row["written"] for row in ledger.rows())
    if plain:
        log.warning(
            "for %d of %d questions the model wrote no list of queries; the questions themselves are used",
            plain,
            len(questions),
        )
    print(options.out)
    say_next(
        options,
        f"interank evaluate evaluate/benchmark benchmark={word(options.corpus)} first_stage=bm25q "
        f"first_stage_queries={word(options.out)} --out runs/eval",
    )
    return 0


def _answered(out: Path, ledger: Ledger) -> set[str]:
    """The ids of the questions that a file has rows of.

    Raises:
        InputError: The file holds other rows; it is left unchanged.
    """
    from interank.errors import InputError

    rows = ledger.rows()
    for number, row in enumerate(rows, start=1):
        if row.keys() != {"_id", "queries", "written"}:
            raise InputError(
                f"--out {out}:{number} is no row that this command wrote, so the file cannot be continued; it is left "
                "unchanged: name another one"
            )
    return {str(row["_id"]) for row in rows}


def _questions(options: argparse.Namespace) -> list[Query]:
    from interank.errors import InputError
    from interank.ir.benchmarks import BenchmarkOptions, load_tasks

    wanted = BenchmarkOptions(
        tasks=(options.task,) if options.task else (), split=options.split, with_run=False, need_text=False
    )
    tasks = load_tasks(options.corpus, wanted)
    if len(tasks) > 1:
        names = ", ".join(task.name for task in tasks)
        raise InputError(f"--corpus {options.corpus} holds the tasks {names}; name one with --task")
    return list(tasks[0].queries.values())
