"""`interank rerank`: ranks documents for a query, or candidates for a benchmark's queries, with explanations."""

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
`query_id, query, documents`. With --trec or --jsonl a killed command resumes at its query when it is repeated."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "rerank",
        parents=[common],
        help="rank documents for a query, with explanations",
        description="Rank documents for a query, or a run's candidates for a benchmark's queries, and explain why.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("model", metavar="MODEL", help="an output of distill or rl, or a model's folder or hub name")
    verb.add_argument("files", metavar="FILE", nargs="*", type=Path, help="documents, with --query")
    verb.add_argument("--query", metavar="TEXT", help="the query")
    verb.add_argument("--corpus", metavar="DIR", type=Path, help="a benchmark folder: queries and documents")
    verb.add_argument("--requests", metavar="FILE", type=Path, help="JSONL of queries, each with its documents")
    verb.add_argument("--task", help="the task, where the folder has several")
    verb.add_argument("--split", help="the split of queries")
    verb.add_argument("--run", dest="run_file", metavar="RUN", type=Path, help="candidates, a TREC run; else BM25's")
    verb.add_argument("--shards", metavar="N/OF", help="rank the N-th of OF shards of the queries")
    _add_minimums(verb)
    verb.add_argument(
        "--top-k",
        type=positive,
        metavar="N",
        help="with --query: print the best N (default all); else rank the first N candidates of a query (default 100)",
    )
    verb.add_argument("--explain", type=_count, metavar="N", help="explain the best N (default 3 with --query, else 0)")
    _add_modes(verb)
    add_base(verb)
    verb.add_argument("--max-reasoning-tokens", type=positive, default=128, metavar="N", help="an explanation's budget")
    verb.add_argument(
        "--guard",
        choices=GUARDS,
        default="none",
        help="defence against attacks on the judge: fence documents off, or subtract their logits without a query",
    )
    verb.add_argument(
        "--precision",
        default="exact",
        help="exact; bfloat16 is faster on a CPU, with slightly different scores; nf4 has base weights in 4 bits",
    )
    verb.add_argument(
        "--memory",
        metavar="GB",
        type=float,
        help="memory of a batch's KV cache, on transformers (default: half of the device's free memory)",
    )
    verb.add_argument(
        "--engine",
        choices=["transformers", "vllm", "openai"],
        default="transformers",
        help="transformers or vllm in this process, or openai: servers that take token ids, as `vllm serve`",
    )
    verb.add_argument("--server", metavar="URL", help="with --engine openai: http://HOST:PORT/v1, or URL,URL")
    verb.add_argument("--served-name", metavar="NAME", help="the servers' name for the model, if it is not MODEL")
    verb.add_argument("--jsonl", metavar="FILE", type=Path, help="also write rankings and explanations as JSONL")
    verb.add_argument("--trec", metavar="FILE", type=Path, help="also write the ranking as a TREC run")
    verb.add_argument("--rank-llm", metavar="FILE", type=Path, help="also write results as RankLLM's JSONL")
    verb.add_argument("--json", action="store_true", help="print one JSON object for each query")
    verb.set_defaults(run=_run, kept=("trec", "jsonl", "rank_llm"))


def _add_minimums(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--min-score", type=float, metavar="X", help="leave out documents whose score is below X")
    verb.add_argument("--min-grade", type=int, metavar="N", help="leave out documents whose grade is below N: 1 or 2")
    probable = "leave out documents whose probability, by a fit, is below P"
    verb.add_argument("--min-probability", type=float, metavar="P", help=probable)


def _add_modes(verb: argparse.ArgumentParser) -> None:
    """Add the options of the mode, the fit and the second reranker."""
    verb.add_argument("--instruction", metavar="TEXT", help="how to judge; a query's own instruction overrides it")
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
    verb.add_argument("--budget-tokens", type=_count, metavar="N", help="with mode adaptive: the tokens of a query")
    verb.add_argument("--budget-seconds", type=float, metavar="S", help="with mode adaptive: the seconds of a query")
    verb.add_argument(
        "--lists",
        metavar="KEY=VALUE,...",
        help="with a listwise mode: method, window, step, shuffles, prompt.form and other keys of a recipe's `lists:`",
    )
    verb.add_argument(
        "--head",
        metavar="KEY=VALUE,...",
        help="how a pointwise head reads a pair, if its folder does not say: legacy=dear for DeAR's released models",
    )
    verb.add_argument(
        "--domain",
        metavar="NAME=ADAPTER",
        action="append",
        type=named_adapter,
        default=[],
        help="a head's adapter on MODEL's base for requests whose `domain` is NAME; MODEL ranks others; repeatable",
    )
    verb.add_argument(
        "--fit",
        metavar="PATH",
        type=Path,
        help="apply a file of interank fit, or MODEL's stored fit with its fusion, which is not applied without --fit",
    )
    verb.add_argument("--then", metavar="MODEL", help="a second reranker, for the top documents of MODEL's ranking")
    verb.add_argument("--then-mode", choices=THEN_MODES, default="listwise", metavar="MODE", help="mode (%(default)s)")
    verb.add_argument("--then-depth", type=positive, default=30, metavar="N", help="how many it reranks (default 30)")


def _count(text: str) -> int:
    return _whole_number(text, 0)


def named_adapter(text: str) -> tuple[str, str]:
    """Parse `NAME=ADAPTER`."""
    name, _, adapter = text.partition("=")
    if not name or not adapter:
        raise argparse.ArgumentTypeError(f"found {text!r}, where NAME=ADAPTER is needed")
    return name, adapter


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    return _whole_number(text, 1)


def _whole_number(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"found {text!r}, where a whole number from {least} on is needed")
    return value


def _run(arguments: argparse.Namespace) -> int:
    from interank.cli.rerank_options import RerankOptions
    from interank.cli.rerank_tasks import tasks_of
    from interank.reranking.resuming import Progress

    options = RerankOptions.of(arguments)
    # Documents named on the command line are read first: their faults are reported before the model's files are opened.
    tasks = iter([*tasks_of(options)]) if options.query else tasks_of(options)
    options.check_read()
    taught = _is_taught(options)
    explained = options.explained(taught=taught)
    file, fit = _fit(options)
    progress = Progress(options.jsonl or options.trec or options.rank_llm, _identity(options, explained, file))
    rows = []
    results = []
    fitted_on = 0
    cuts: list[int] = []
    for row, query, documents in _ranked(options, progress, tasks, explained, fit):
        fitted_on += bool(fit and fit.known([query]))
        if options.trec or options.jsonl:
            rows.append(_shown(row))
        if options.rank_llm:
            results.append((query, row["ranking"], documents))
        cuts += [item["truncated"] for item in row["ranking"]]
        _print(query, row, documents, options.json_lines)
    if fitted_on:
        log.warning("%s was fitted on %d of these queries; measures of them are not valid", file, fitted_on)
    _tell_cut(cuts)
    _write(options, rows, results)
    progress.finish()
    say_next(arguments, _next(options, taught=taught))
    return 0


def _tell_cut(cuts: list[int]) -> None:
    """Warn how many of the ranked documents were truncated."""
    cut = [tokens for tokens in cuts if tokens]
    if cut:
        log.warning(
            "%d of %s (%.0f%%) were read without their ends, up to %s each, as the model's prompt.max_document_tokens "
            "or max_length leaves no room for them; split long documents, or train with a higher limit",
            len(cut),
            counted(len(cuts), "document"),
            100 * len(cut) / len(cuts),
            counted(max(cut), "token"),
        )


def _is_taught(options: RerankOptions) -> bool:
    """Whether the model can explain grades, by its files; they are read only where it matters."""
    if options.mode != "score" or options.then or not (options.query or options.wants_explanations):
        return True
    from interank.reranking.explanation_check import explains

    return explains(options.model, options.base)


def _next(options: RerankOptions, *, taught: bool) -> str:
    """The next step, by the files that were written."""
    if options.trec:
        return f"interank score QRELS {word(options.trec)} measures it, where qrels are at hand"
    if options.jsonl or options.rank_llm:
        return f"{word(options.jsonl or options.rank_llm or '')} holds the rankings, a query a line"
    keeps = "--jsonl FILE keeps the ranking"
    if options.mode != "score" or options.then or not taught:
        return keeps
    return f"{keeps}; --mode reason has the model explain before it grades"


def _identity(options: RerankOptions, explained: int | None, fit: Path | None) -> dict[str, Any]:
    """All that a ranking depends on beside its query and documents; a killed command resumes only if it is the same."""
    from interank.reranking.resuming import model_identity

    names = {"mode", "max_reasoning_tokens", "precision", "engine", "lists", "head", "adaptive", "guard"}
    identity = {**options.model_dump(mode="json", include=names), "explain": explained, **model_identity(options.model)}
    if options.kept:
        identity |= {"top_k": options.kept}
    identity |= options.minimums
    if options.base:
        identity |= {"base": model_identity(options.base)}
    if options.domain:
        identity |= {"domains": {name: model_identity(adapter) for name, adapter in options.domain}}
    if fit:
        identity |= {"fit": [fit.read_text("utf-8"), options.fit is not None]}
    if options.then:
        identity |= {"then": [options.then_mode, options.then_depth, model_identity(options.then)]}
    return identity


def _fit(options: RerankOptions) -> tuple[Path | None, Fit | None]:
    """The fit to apply and its file: `--fit`, else the fit that MODEL stores."""
    from interank.reranking.fitting import fit_file, read_fit, stored_fit, stored_place

    if options.fit:
        file = fit_file(options.fit, options.mode)
        return file, read_fit(file)
    if not options.takes_stored:
        return None, None
    return stored_place(options.model, options.mode), stored_fit(options.model, options.mode)


def _ranked(
    options: RerankOptions,
    progress: Progress,
    tasks: Iterator[Request],
    explained: int | None,
    fit: Fit | None,
) -> Iterator[tuple[dict[str, Any], Query, list[Document]]]:
    """Each query's row, ranked now or by an earlier, killed command; the model is loaded when it is first needed."""
    chains: dict[str | None, Chain] = {}
    reused = 0
    for query, documents, scores, domain in tasks:
        key = progress.key(query, documents, scores if fit else None, domain)
        row = progress.found(key)
        if row is None:
            chains = chains or _chains(options, max(options.depth, len(documents)))
            ranking, costs = chains[domain].ranked(query, documents, 0 if options.minimums else explained, scores)
            extra: dict[str, Any] = {} if domain is None else {"domain": domain}
            extra |= _extra(ranking, costs, fit)
            if options.minimums:
                ranking = options.reaching(query, ranking)[: options.kept]
                ranking = chains[domain].explain(query, documents, ranking, explained)
            if options.mode == "adaptive":
                extra |= _spent(query, costs[0])
            row = progress.keep(key, query, ranking[: options.kept], extra)
        else:
            reused += 1
        yield row, query, documents
    if reused:
        log.info("%d queries were ranked by an earlier try", reused)


def _extra(ranking: list[RankedDocument], costs: list[Cost], fit: Fit | None) -> dict[str, Any]:
    """The fields of a query's row beside its ranking."""
    lists = [cost.as_row()["listwise"] for cost in costs if cost.lists.answers]
    abstains = fit.abstains(ranking) if fit else None
    return ({"listwise": lists} if lists else {}) | ({} if abstains is None else {"abstain": abstains})


def _spent(query: Query, cost: Cost) -> dict[str, Any]:
    """The tokens and FLOPs that mode adaptive spent on a query; seconds are logged but not stored, as they vary."""
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


def _chains(options: RerankOptions, depth: int) -> dict[str | None, Chain]:
    """The rerankers by domain (None for MODEL), each followed by the second one of `--then`."""
    from interank.reranking.chaining import Chain, Link
    from interank.reranking.opening import open_reranker

    firsts: Mapping[str | None, Ranks] = _domains(options) if options.domain else {None: open_reranker(options.first())}
    second = options.second()
    then = [Link(open_reranker(second), options.then_depth)] if second else []
    return {name: Chain([Link(first, depth), *then]) for name, first in firsts.items()}


def _domains(options: RerankOptions) -> dict[str | None, Ranks]:
    """Open the domains' adapters side by side on one base."""
    from interank.reranking.domains import open_domains

    # The empty name is free for MODEL, as `named_adapter` refuses it.
    sources = {"": options.model, **dict(options.domain)}
    opened = open_domains(sources, precision=options.precision, head=options.head, base=options.base)
    return {name or None: reranker for name, reranker in opened.items()}


def _write(
    options: RerankOptions,
    rows: list[dict[str, Any]],
    results: list[tuple[Query, list[dict[str, Any]], list[Document]]],
) -> None:
    """Write the files that the options name."""
    from interank.cli.rerank_options import TAG
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
    """The public fields of a query's row: its ranking, how listwise answers were parsed, whether to abstain."""
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
            print("The evidence is weak: better not to answer with this ranking.", flush=True)
