"""`interank rerank`: a query with documents, or a benchmark folder with candidates, to rankings with explanations."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interank.cli.base_option import add_base
from interank.cli.next_step import say_next, word
from interank.modes import GUARDS, MODES, THEN_MODES
from interank.wording import counted

if TYPE_CHECKING:
    from interank.cli.rerank_options import RerankOptions
    from interank.reranking.chaining import Chain
    from interank.reranking.fitting import Fit
    from interank.reranking.requests import Request
    from interank.reranking.resuming import Progress
    from interank.tasks.ranks import Cost, Ranks
    from interank.types import Document, Query, RankedDocument

log = logging.getLogger(__name__)

_EPILOG = """\
examples:
  interank rerank runs/demo/rl --query "why does bread collapse?" notes.txt more.jsonl
  interank rerank runs/demo/rl --corpus data/benchmark --run first.trec --top-k 20 --trec reranked.trec
  interank rerank runs/demo/rl --requests asked.jsonl --mode explain --jsonl answered.jsonl

A document file is plain text, or JSONL with `_id, text` or `id, content` in each row. A request is a row with
`query_id, query, documents`. With --trec or --jsonl a killed command, given again, goes on at the query it was at."""


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
    verb.add_argument("--shards", metavar="N/OF", help="rank the N-th of OF shares of the queries")
    _add_minimums(verb)
    verb.add_argument(
        "--top-k",
        type=positive,
        metavar="N",
        help="--query: tell the best N (default all); else rank the first N candidates of each query (default 100)",
    )
    verb.add_argument("--explain", type=_count, metavar="N", help="explain the first N (--query: 3, --corpus: 0)")
    _add_modes(verb)
    add_base(verb)
    verb.add_argument("--max-reasoning-tokens", type=positive, default=128, metavar="N", help="an explanation's budget")
    verb.add_argument(
        "--guard",
        choices=GUARDS,
        default="none",
        help="against attacks on the judge: documents fenced off, or less what they gain where nothing is asked",
    )
    verb.add_argument(
        "--precision",
        default="exact",
        help="exact; bfloat16: faster on a CPU, with scores a little off; nf4: base weights in 4 bits",
    )
    verb.add_argument(
        "--memory",
        metavar="GB",
        type=float,
        help="of a batch's keys and values, on transformers; by default half of what the device has free",
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


def _add_minimums(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--min-score", type=float, metavar="X", help="leave out documents whose score is below it")
    verb.add_argument("--min-grade", type=int, metavar="N", help="leave out documents of a grade below it: 1 or 2")
    verb.add_argument(
        "--min-probability",
        type=float,
        metavar="P",
        help="leave out documents whose probability, by a fit, is below",
    )


def _add_modes(verb: argparse.ArgumentParser) -> None:
    """How it ranks, and what comes after it."""
    verb.add_argument("--instruction", metavar="TEXT", help="what to judge by; a query's own comes first")
    verb.add_argument(
        "--mode",
        choices=MODES,
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
    verb.add_argument("--then-mode", choices=THEN_MODES, default="listwise", metavar="MODE", help="mode (%(default)s)")
    verb.add_argument("--then-depth", type=positive, default=30, metavar="N", help="how many it sees (default 30)")


def _count(text: str) -> int:
    return _whole_number(text, 0)


def named_adapter(text: str) -> tuple[str, str]:
    """A domain's name and its adapter, from the command line."""
    name, _, adapter = text.partition("=")
    if not name or not adapter:
        raise argparse.ArgumentTypeError(f"found {text!r}, where NAME=ADAPTER is needed")
    return name, adapter


def positive(text: str) -> int:
    """A whole number from 1 on, from the command line."""
    return _whole_number(text, 1)


def _whole_number(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"found {text!r}, where a whole number from {least} on is needed")
    return value


def _run(options: argparse.Namespace) -> int:
    from interank.cli.rerank_options import RerankOptions
    from interank.cli.rerank_tasks import tasks_of
    from interank.reranking.resuming import Progress

    asked = RerankOptions.of(options)
    # Documents on the line are read first: what is wrong with them is told before the model is looked at.
    tasks = iter([*tasks_of(asked)]) if asked.query else tasks_of(asked)
    asked.check_read()
    taught = _is_taught(asked)
    explained = asked.explained(taught=taught)
    file, fit = _fit(asked)
    progress = Progress(asked.jsonl or asked.trec or asked.rank_llm, _identity(asked, explained, file))
    rows = []
    results = []
    known = 0
    cuts: list[int] = []
    for row, query, documents in _ranked(asked, progress, tasks, explained, fit):
        known += bool(fit and fit.known([query]))
        if asked.trec or asked.jsonl:
            rows.append(_shown(row))
        if asked.rank_llm:
            results.append((query, row["ranking"], documents))
        cuts += [item["truncated"] for item in row["ranking"]]
        _print(query, row, documents, asked.json_lines)
    if known:
        log.warning("%s was fitted on %d of these queries: what is measured on them says nothing", file, known)
    _tell_cut(cuts)
    _write(asked, rows, results)
    progress.finish()
    say_next(options, _next(asked, taught=taught))
    return 0


def _tell_cut(cuts: list[int]) -> None:
    """Say how many of the ranked documents were read without their ends."""
    cut = [tokens for tokens in cuts if tokens]
    if cut:
        log.warning(
            "%d of %s (%.0f%%) were read without their ends, up to %s each, for which there is no room; the model's "
            "prompt.max_document_tokens or max_length decides how much: split long documents, or train with more",
            len(cut),
            counted(len(cuts), "document"),
            100 * len(cut) / len(cuts),
            counted(max(cut), "token"),
        )


def _is_taught(asked: RerankOptions) -> bool:
    """Whether the model can explain grades, as far as its files say; looked at only where that matters."""
    if asked.mode != "score" or asked.then or not (asked.query or asked.asks_for_words):
        return True
    from interank.reranking.explanation_check import explains

    return explains(asked.model, asked.base)


def _next(asked: RerankOptions, *, taught: bool) -> str:
    """What the ranking is for, by where it went."""
    if asked.trec:
        return f"interank score QRELS {word(asked.trec)} measures it, where qrels are at hand"
    if asked.jsonl or asked.rank_llm:
        return f"{word(asked.jsonl or asked.rank_llm or '')} holds the rankings, a query a line"
    keeps = "--jsonl FILE keeps the ranking"
    if asked.mode != "score" or asked.then or not taught:
        return keeps
    return f"{keeps}; --mode reason has the model explain before it grades"


def _identity(asked: RerankOptions, explained: int | None, fit: Path | None) -> dict[str, Any]:
    """What a ranking depends on beside its query and documents: a killed command goes on with nothing else."""
    from interank.reranking.resuming import model_identity

    told = ("mode", "max_reasoning_tokens", "precision", "engine", "lists", "head", "adaptive", "guard")
    found = {**asked.model_dump(mode="json", include=set(told)), "explain": explained, **model_identity(asked.model)}
    if asked.kept:
        found |= {"top_k": asked.kept}
    found |= asked.minimums
    if asked.base:
        found |= {"base": model_identity(asked.base)}
    if asked.domain:
        found |= {"domains": {name: model_identity(adapter) for name, adapter in asked.domain}}
    if fit:
        found |= {"fit": [fit.read_text("utf-8"), asked.fit is not None]}
    if asked.then:
        found |= {"then": [asked.then_mode, asked.then_depth, model_identity(asked.then)]}
    return found


def _fit(asked: RerankOptions) -> tuple[Path | None, Fit | None]:
    """The fit that rankings are finished with and its file: what was asked for, else what MODEL stores."""
    from interank.reranking.fitting import fit_file, read_fit, stored_fit, stored_place

    if asked.fit:
        file = fit_file(asked.fit, asked.mode)
        return file, read_fit(file)
    if not asked.takes_stored:
        return None, None
    return stored_place(asked.model, asked.mode), stored_fit(asked.model, asked.mode)


def _ranked(
    asked: RerankOptions,
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
            chains = chains or _chains(asked, max(asked.depth, len(documents)))
            ranking, costs = chains[domain].ranked(query, documents, 0 if asked.minimums else explained, scores)
            told: dict[str, Any] = {} if domain is None else {"domain": domain}
            told |= _told(ranking, costs, fit)
            if asked.minimums:
                ranking = asked.reaching(query, ranking)[: asked.kept]
                ranking = chains[domain].explain(query, documents, ranking, explained)
            if asked.mode == "adaptive":
                told |= _spent(query, costs[0])
            row = progress.keep(key, query, ranking[: asked.kept], told)
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


def _spent(query: Query, cost: Cost) -> dict[str, Any]:
    """What adaptive took for a query; seconds are told and not kept, as they are others each time."""
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


def _chains(asked: RerankOptions, depth: int) -> dict[str | None, Chain]:
    """The rerankers by their domains, MODEL's by none, each with the second one behind it if there is one."""
    from interank.reranking.chaining import Chain, Link
    from interank.reranking.opening import open_reranker

    firsts: Mapping[str | None, Ranks] = _domains(asked) if asked.domain else {None: open_reranker(asked.first())}
    second = asked.second()
    then = [Link(open_reranker(second), asked.then_depth)] if second else []
    return {name: Chain([Link(first, depth), *then]) for name, first in firsts.items()}


def _domains(asked: RerankOptions) -> dict[str | None, Ranks]:
    """The adapters side by side on one base."""
    from interank.reranking.domains import open_domains

    # No domain's name on the command line is empty.
    sources = {"": asked.model, **dict(asked.domain)}
    opened = open_domains(sources, precision=asked.precision, head=asked.head, base=asked.base)
    return {name or None: reranker for name, reranker in opened.items()}


def _write(
    asked: RerankOptions,
    rows: list[dict[str, Any]],
    results: list[tuple[Query, list[dict[str, Any]], list[Document]]],
) -> None:
    """The files asked for."""
    from interank.cli.rerank_options import TAG
    from interank.ir.trec import write_run
    from interank.ledger import write_rows
    from interank.reranking.requests import result_row
    from interank.types import Run, ScoredDoc

    if asked.jsonl:
        write_rows(asked.jsonl, rows)
    if asked.trec:
        scored = {
            row["query_id"]: [ScoredDoc(row["query_id"], item["doc_id"], item["score"]) for item in row["ranking"]]
            for row in rows
        }
        write_run(Run(scored, tag=TAG), asked.trec)
    if asked.rank_llm:
        write_rows(asked.rank_llm, (result_row(*result) for result in results))


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
        print(example(query.text, ranking, texts), flush=True)
        if row.get("abstain"):
            print("The evidence is thin: better not to answer with this ranking.", flush=True)
