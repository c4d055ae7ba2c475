"""`interank rerank`: a query with documents, or a benchmark folder with candidates, to rankings with explanations."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interank.cli.base_option import add_base
from interank.cli.rerank_checks import TAG, check
from interank.cli.rerank_tasks import tasks_of

if TYPE_CHECKING:
    from interank.reranking.chaining import Chain, Cost, Ranks
    from interank.reranking.fitting import Fit
    from interank.reranking.modes import Mode
    from interank.reranking.requests import Request
    from interank.reranking.reranker import Reranker
    from interank.reranking.resuming import Progress
    from interank.types import Document, Query, RankedDocument

log = logging.getLogger(__name__)

_EPILOG = """\
examples:
  interank rerank runs/demo/rl --query "why does bread collapse?" notes.txt more.jsonl
  interank rerank runs/demo/rl --corpus data/benchmark --run first.trec --top-k 20 --trec reranked.trec
  interank rerank runs/demo/rl --requests asked.jsonl --mode explain --jsonl answered.jsonl

A document file is plain text, or JSONL with `_id, text` or `id, content` in each row. A request is a row with
`query_id, query, documents`. With --trec or --jsonl a killed command, given again, goes on at the query it was at."""


# A person who asks one question wants to know why; a whole benchmark is ranked to be scored.
_EXPLAINED = 3


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "rerank",
        parents=[common],
        help="rank documents for a query, with explanations",
        description="Rank documents for a query, or a run's candidates for a benchmark's queries, and say why.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("model", metavar="MODEL", help="an output of distill or rl, or a model's folder or hub name")
    verb.add_argument("files", metavar="FILE", nargs="*", type=Path, help="documents, with --query")
    verb.add_argument("--query", metavar="TEXT", help="what is asked")
    verb.add_argument("--corpus", metavar="DIR", type=Path, help="a benchmark folder: queries and documents")
    verb.add_argument("--requests", metavar="FILE", type=Path, help="JSONL: queries that bring their documents")
    verb.add_argument("--task", help="which task of the folder, where it has several")
    verb.add_argument("--split", help="which queries of the folder")
    verb.add_argument("--run", dest="run_file", metavar="RUN", type=Path, help="candidates, a TREC run; else BM25's")
    verb.add_argument(
        "--top-k",
        type=positive,
        default=100,
        metavar="N",
        help="candidates of each query to rank, the first N (default 100)",
    )
    verb.add_argument("--explain", type=_count, metavar="N", help="explain the first N (--query: 3, --corpus: 0)")
    _add_modes(verb)
    add_base(verb)
    verb.add_argument("--max-reasoning-tokens", type=positive, default=128, metavar="N")
    verb.add_argument(
        "--guard",
        choices=["none", "fence", "contrast"],
        default="none",
        help="against attacks on the judge: documents fenced off, or less what they gain where nothing is asked",
    )
    verb.add_argument(
        "--precision",
        choices=["exact", "bfloat16", "int8", "nf4"],
        default="exact",
        help="on a CPU bfloat16 and int8 are faster, int8 with scores further off; nf4: base weights in 4 bits",
    )
    verb.add_argument(
        "--engine",
        choices=["transformers", "vllm", "openai"],
        default="transformers",
        help="what runs the model: here transformers or vLLM, or servers that take token ids, as `vllm serve`",
    )
    verb.add_argument("--server", metavar="URL", help="with --engine openai: http://HOST:PORT/v1, or several by commas")
    verb.add_argument("--served-name", metavar="NAME", help="what the servers call the model, where that isn't MODEL")
    verb.add_argument("--jsonl", metavar="FILE", type=Path, help="also write rankings and explanations as JSONL")
    verb.add_argument("--trec", metavar="FILE", type=Path, help="also write the ranking as a TREC run")
    verb.add_argument("--rank-llm", metavar="FILE", type=Path, help="also write results as RankLLM reads them, JSONL")
    verb.add_argument("--json", action="store_true", help="print one JSON object for each query")
    verb.set_defaults(run=_run, kept=("trec", "jsonl", "rank_llm"))


def _add_modes(verb: argparse.ArgumentParser) -> None:
    """How it ranks, and what comes after it."""
    verb.add_argument(
        "--mode",
        choices=["score", "explain", "reason", "listwise", "adaptive"],
        default="score",
        help="reason explains before it grades, listwise orders windows, adaptive reasons around the cut",
    )
    verb.add_argument(
        "--adaptive",
        metavar="KEY=VALUE,...",
        help="with mode adaptive: spend, cut, band, width, samples and other keys of a recipe's `adaptive:`",
    )
    verb.add_argument("--budget-tokens", type=_count, metavar="N", help="with mode adaptive: what a query may take")
    verb.add_argument("--budget-seconds", type=float, metavar="S", help="with mode adaptive: the same in seconds")
    verb.add_argument(
        "--lists",
        metavar="KEY=VALUE,...",
        help="with a listwise mode: method, window, step, shuffles, prompt.form and other keys of a recipe's `lists:`",
    )
    verb.add_argument(
        "--head",
        metavar="KEY=VALUE,...",
        help="how a pointwise head reads a pair, where its folder is silent: legacy=dear for DeAR's released ones",
    )
    verb.add_argument(
        "--domain",
        metavar="NAME=ADAPTER",
        action="append",
        type=named_adapter,
        default=[],
        help="a head's adapter on MODEL's base, for requests whose `domain` is NAME; others go to MODEL; repeatable",
    )
    verb.add_argument(
        "--fit",
        metavar="PATH",
        type=Path,
        help="fuse, calibrate, abstain: a file of interank fit, or MODEL, which stores one (and fuses only if asked)",
    )
    verb.add_argument("--then", metavar="MODEL", help="a second reranker, for the first documents of MODEL's ranking")
    verb.add_argument("--then-mode", choices=["score", "reason", "listwise"], default="listwise", metavar="MODE")
    verb.add_argument("--then-depth", type=positive, default=30, metavar="N", help="how many it sees (default 30)")


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} was given, 0 or more is needed")
    return value


def named_adapter(text: str) -> tuple[str, str]:
    """A domain's name and its adapter, from the command line."""
    name, _, adapter = text.partition("=")
    if not name or not adapter:
        raise argparse.ArgumentTypeError(f"{text!r} was given, NAME=ADAPTER is needed")
    return name, adapter


def positive(text: str) -> int:
    """A whole number from 1 on, from the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} was given, 1 or more is needed")
    return value


def _run(options: argparse.Namespace) -> int:
    check(options)
    # Documents on the line are read first: what is wrong with them is told before the model is looked at.
    tasks = iter([*tasks_of(options)]) if options.query else tasks_of(options)
    explained = options.explain
    if explained is None and options.query and options.mode == "score" and not options.then:
        explained = 0 if _is_head(options.model, options.base) else _EXPLAINED
    settings = {
        "mode": options.mode,
        "max_reasoning_tokens": options.max_reasoning_tokens,
        "precision": options.precision,
        "engine": options.engine,
        "explain": explained,
        "lists": options.lists,
        "head": options.head,
        "adaptive": [options.adaptive, options.budget_tokens, options.budget_seconds],
        "guard": options.guard,
    }
    from interank.reranking.resuming import Progress, model_identity

    file, fit = _fit(options)
    settings |= model_identity(options.model)
    if options.base:
        settings |= {"base": model_identity(options.base)}
    if options.domain:
        settings |= {"domains": {name: model_identity(adapter) for name, adapter in options.domain}}
    if file:
        settings |= {"fit": [file.read_text("utf-8"), options.fit is not None]}
    if options.then:
        then = [options.then_mode, options.then_depth, model_identity(options.then)]
        settings |= {"then": then}
    progress = Progress(options.jsonl or options.trec or options.rank_llm, settings)
    rows = []
    results = []
    known = 0
    for row, query, documents in _ranked(options, progress, tasks, explained, fit):
        known += bool(fit and fit.known([query]))
        if options.trec or options.jsonl:
            rows.append(_shown(row))
        if options.rank_llm:
            results.append((query, row["ranking"], documents))
        _print(query, row, documents, options.json)
    if known:
        log.warning("%s was fitted on %d of these queries: what is measured on them says nothing", file, known)
    _write(options, rows, results)
    progress.finish()
    return 0


def _fit(options: argparse.Namespace) -> tuple[Path | None, Fit | None]:
    """The fit that rankings are finished with and its file: what was asked for, else what MODEL stores."""
    from interank.reranking.fitting import fit_file, read_fit, stored_fit, stored_place

    if options.fit:
        file = fit_file(options.fit, options.mode)
        return file, read_fit(file)
    if not _takes_stored(options):
        return None, None
    return stored_place(options.model, options.mode), stored_fit(options.model, options.mode)


def _takes_stored(options: argparse.Namespace) -> bool:
    """Whether MODEL ranks alone and its scores are as they were when it was fitted."""
    return options.guard == "none" and not options.then


def _is_head(model: str, base: str | None) -> bool:
    from interank.engines.heads import find_head

    return find_head(model, base) is not None


def _ranked(
    options: argparse.Namespace,
    progress: Progress,
    tasks: Iterator[Request],
    explained: int | None,
    fit: Fit | None,
) -> Iterator[tuple[dict[str, Any], Query, list[Document]]]:
    """Each query's row, ranked now or by an earlier try; the model is loaded when it is first needed."""
    chains: dict[str | None, Chain] = {}
    reused = 0
    for query, documents, scores, domain in tasks:
        key = progress.key(query, documents, scores if fit else None, domain)
        row = progress.found(key)
        if row is None:
            chains = chains or _chains(options)
            ranking, costs = chains[domain].ranked(query, documents, explained, scores)
            told: dict[str, Any] = {} if domain is None else {"domain": domain}
            told |= _told(ranking, costs, fit) | _spent(options, query, costs[0])
            row = progress.keep(key, query, ranking, told)
        else:
            reused += 1
        yield row, query, documents
    if reused:
        log.info("%d queries were ranked by an earlier try", reused)


def _told(ranking: list[RankedDocument], costs: list[Cost], fit: Fit | None) -> dict[str, Any]:
    """What is told of a query beside its ranking."""
    lists = [cost.as_row()["listwise"] for cost in costs if cost.lists.answers]
    abstains = fit.abstains(ranking) if fit else None
    return ({"listwise": lists} if lists else {}) | ({} if abstains is None else {"abstain": abstains})


def _spent(options: argparse.Namespace, query: Query, cost: Cost) -> dict[str, Any]:
    """What adaptive took for a query; seconds are told and not kept, as they are others each time."""
    if options.mode != "adaptive":
        return {}
    spent = {name: getattr(cost, name) for name in ("tokens_read", "tokens_written", "flops")}
    gflop = "" if cost.flops is None else f", {cost.flops / 1e9:.1f} GFLOP"
    log.info(
        "%s: %d tokens read, %d written%s, %.2f s",
        query.query_id,
        cost.tokens_read,
        cost.tokens_written,
        gflop,
        cost.seconds,
    )
    return {"spent": spent}


def _chains(options: argparse.Namespace) -> dict[str | None, Chain]:
    """The rerankers by their domains, MODEL's by none, each with the second one behind it if there is one."""
    from interank.reranking.chaining import Chain, Link

    firsts: Mapping[str | None, Ranks] = _domains(options) if options.domain else {None: _first(options)}
    then: list[Link] = []
    if options.then:
        then = [Link(_reranker(options, options.then, options.then_mode, None), options.then_depth)]
    return {name: Chain([Link(first, options.top_k), *then]) for name, first in firsts.items()}


def _domains(options: argparse.Namespace) -> dict[str | None, Reranker]:
    """The adapters side by side on one base."""
    from interank.recipe import read_keys
    from interank.reranking.domains import open_domains

    head = read_keys("--head", options.head.split(",")) if options.head else None
    # No domain's name on the command line is empty.
    sources = {"": options.model, **dict(options.domain)}
    opened = open_domains(sources, precision=options.precision, head=head, base=options.base)
    return {name or None: reranker for name, reranker in opened.items()}


def _first(options: argparse.Namespace) -> Ranks:
    """The reranker of MODEL, with what it is finished with."""
    if options.mode != "adaptive":
        first = _reranker(options, options.model, options.mode, options.served_name)
        return first.with_fit(options.fit) if options.fit else first
    from pydantic import ValidationError

    from interank.errors import InputError
    from interank.recipe import read_keys
    from interank.reranking.adaptive import Adaptive
    from interank.settings import AdaptiveRecipe

    keys = read_keys("--adaptive", options.adaptive.split(",")) if options.adaptive else {}
    budget = {"tokens": options.budget_tokens, "seconds": options.budget_seconds}
    try:
        settings = AdaptiveRecipe.model_validate({**keys, **{k: v for k, v in budget.items() if v is not None}})
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise InputError(f"--adaptive: {where}: {fault['msg'].removeprefix('Value error, ')}") from None
    return Adaptive(_reranker(options, options.model, "score", options.served_name), settings)


def _reranker(options: argparse.Namespace, model: str, mode: Mode, served_name: str | None) -> Reranker:
    from interank.recipe import read_keys
    from interank.reranking.reranker import Reranker

    lists = read_keys("--lists", options.lists.split(",")) if options.lists and mode == "listwise" else None
    if options.head and model == options.model:
        head = read_keys("--head", options.head.split(","))
        return Reranker.open_head(model, head, precision=options.precision, base=options.base)
    opened = Reranker(
        model,
        mode=mode,
        max_reasoning_tokens=options.max_reasoning_tokens,
        precision=options.precision,
        engine=options.engine,
        server=options.server and {"urls": options.server, "model": served_name},
        lists=lists,
        base=options.base if model == options.model else None,
    )
    # In a chain a listwise reranker stands beside one that grades, and only that one can be guarded.
    if not _takes_stored(options):
        opened = opened.without_fit()
    return opened if mode == "listwise" else opened.guarded(options.guard)


def _write(
    options: argparse.Namespace,
    rows: list[dict[str, Any]],
    results: list[tuple[Query, list[dict[str, Any]], list[Document]]],
) -> None:
    """The files asked for."""
    from interank.ir.trec import write_run
    from interank.ledger import write_rows
    from interank.reranking.requests import result_row
    from interank.types import Run, ScoredDoc

    if options.jsonl:
        write_rows(options.jsonl, rows)
    if options.trec:
        scored = {
            row["query_id"]: [ScoredDoc(row["query_id"], item["doc_id"], item["score"]) for item in row["ranking"]]
            for row in rows
        }
        write_run(Run(scored, tag=TAG), options.trec)
    if options.rank_llm:
        write_rows(options.rank_llm, (result_row(*result) for result in results))


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """What is told of a query: its ranking, how a listwise reranker's answers were read, whether to abstain."""
    return {
        name: row[name] for name in ("query_id", "domain", "ranking", "listwise", "abstain", "spent") if name in row
    }


def _print(query: Query, row: dict[str, Any], documents: list[Document], as_json: bool) -> None:
    if as_json:
        print(json.dumps(_shown(row), ensure_ascii=False), flush=True)
    else:
        from interank.evaluation.report import example
        from interank.types import RankedDocument

        ranking = [RankedDocument.of_row(item) for item in row["ranking"]]
        texts = {document.doc_id: document.full_text for document in documents}
        print(example(query.text, ranking, texts, {}), flush=True)
        if row.get("abstain"):
            print("The evidence is thin: better not to answer with this ranking.", flush=True)
        for item in ranking:
            if item.truncated:
                log.warning("%s: its last %d tokens were cut off", item.doc_id, item.truncated)
