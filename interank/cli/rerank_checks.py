"""What `interank rerank` refuses before a model is loaded: options that do not go together."""

from __future__ import annotations

import argparse
from pathlib import Path

# Of the runs that rerank writes.
TAG = "interank"


def check(options: argparse.Namespace) -> None:
    """Find what is wrong with the command before a model is loaded."""
    from interank.errors import InputError

    sources = [name for name in ("query", "corpus", "requests") if getattr(options, name) is not None]
    if len(sources) != 1:
        raise InputError(
            "give either --query TEXT with document files, or --corpus DIR with the queries and documents, "
            "or --requests FILE with both"
        )
    if options.query is None and options.files:
        raise InputError(
            f"{options.files[0]} stands beside --{sources[0]}, whose documents are ranked; leave one of them out"
        )
    if options.corpus is None and (options.run_file or options.split or options.task):
        raise InputError(
            f"--run, --task and --split belong to --corpus; with --{sources[0]} the documents are the candidates"
        )
    if options.engine != "openai" and (options.server or options.served_name):
        raise InputError(f"--server and --served-name belong to --engine openai; found engine {options.engine}")
    if options.guard != "none" and options.mode == "listwise":
        raise InputError(f"--guard {options.guard} corrects grades, and mode listwise has none; leave one of them out")
    if options.guard != "none" and (options.fit or options.mode == "adaptive"):
        raise InputError(
            f"--guard {options.guard} moves scores, which --fit and mode adaptive take as they are; drop it"
        )
    if options.guard != "none" and options.head:
        raise InputError(f"--guard {options.guard} corrects grades, and a head gives none; leave one of them out")
    if options.lists and "listwise" not in (options.mode, options.then and options.then_mode):
        raise InputError("--lists belongs to mode listwise; set --mode or --then-mode, or leave it out")
    if options.mode != "adaptive" and {options.adaptive, options.budget_tokens, options.budget_seconds} != {None}:
        raise InputError(f"--adaptive and budgets belong to mode adaptive; found mode {options.mode}; set --mode")
    if options.mode == "adaptive" and (options.fit or options.explain):
        raise InputError("--fit and --explain belong to other modes than adaptive; leave them out")
    if options.head and (options.mode != "score" or options.engine != "transformers"):
        raise InputError("--head belongs to mode score on engine transformers; leave it out, or the others")
    _check_domains(options)
    if options.then and options.explain is not None:
        raise InputError("--explain belongs to one reranker; found --then as well; leave one of them out")
    if options.query is not None and not options.query.strip():
        raise InputError("--query is empty; say what is asked")
    if options.query is not None and not options.files:
        raise InputError("--query needs documents: name text or JSONL files after the model")
    _check_files(options)


def _check_files(options: argparse.Namespace) -> None:
    """Refuse to write what is read, one file twice, or over what rerank did not write."""
    from interank.errors import InputError
    from interank.outputs import check_file, holds_json

    read = [file for file in (options.requests, options.run_file, options.fit, *options.files) if file]
    written = {
        "--jsonl": (options.jsonl, lambda path: holds_json(path, "query_id", "ranking")),
        "--trec": (options.trec, _is_own_run),
        "--rank-llm": (options.rank_llm, lambda path: holds_json(path, "query", "candidates")),
    }
    names: dict[Path, str] = {}
    for name, (file, ours) in written.items():
        if file is None:
            continue
        check_file(name, file, ours=ours, read=read)
        other = names.setdefault(file.resolve(), name)
        if other != name:
            raise InputError(f"{other} and {name} are one file, {file}; give each its own")


def _is_own_run(path: Path) -> bool:
    from interank.ir.trec import tag_of

    return tag_of(path) == TAG


def _check_domains(options: argparse.Namespace) -> None:
    from interank.errors import InputError

    names = [name for name, _ in options.domain]
    if names and options.requests is None:
        raise InputError("--domain belongs to --requests, whose rows say which they want; leave it out")
    if names and (options.mode != "score" or options.engine != "transformers" or options.guard != "none"):
        raise InputError("--domain belongs to pointwise heads, in mode score on engine transformers without a guard")
    if names and options.fit:
        raise InputError("--fit is of one model, and --domain gives several; leave one of them out")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"--domain {twice} was given twice; give each domain one adapter")
