"""`interank push`: uploads an adapter, an export, judgments or an evaluation to the hub."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_EPILOG = """\
examples:
  interank push runs/rl YOU/reranker --results runs/eval --dry-run
  interank push runs/rl YOU/reranker --base-name HuggingFaceTB/SmolLM2-135M-Instruct --private
  interank push runs/rl-st YOU/reranker-st --create-pr
  interank push runs/eval YOU/rankings

The card gets the metadata by which the hub finds models, and the measures of an evaluation. Nothing is uploaded if a
file names a path of this machine or holds an API key. The hub's token comes from `hf auth login` or HF_TOKEN."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "push",
        parents=[common],
        help="upload an adapter, an export, judgments or an evaluation to the hub",
        description="Upload an adapter, an export, judgments or an evaluation to the Hugging Face hub, with its card.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("source", metavar="DIR", type=Path, help="an output of distill, rl, generate, evaluate or export")
    verb.add_argument("repo", metavar="REPO", help="the repository, as OWNER/NAME")
    verb.add_argument("--create-pr", action="store_true", help="open a pull request instead of committing")
    verb.add_argument("--private", action="store_true", help="make the repository private, if it is new")
    verb.add_argument("--dry-run", action="store_true", help="print files and card, and upload nothing")
    verb.add_argument("--results", metavar="DIR", type=Path, help="an evaluation of this model, for its card")
    verb.add_argument("--base-name", metavar="OWNER/MODEL", help="the hub's name of an adapter's base model")
    verb.add_argument("--license", metavar="NAME", help="the licence, as apache-2.0 (default: the base's, if known)")
    verb.add_argument("--dataset", metavar="NAME", nargs="+", default=[], help="the hub's names of its training data")
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from interank.stages.push import PushSettings, push

    settings = PushSettings(
        options.repo,
        options.base_name,
        options.results,
        options.license,
        tuple(options.dataset),
        options.create_pr,
        options.private,
    )
    pushed = push(options.source, settings, dry_run=options.dry_run)
    if pushed.url:
        print(pushed.url)
        return 0
    for name, size in pushed.files.items():
        print(f"{size:>12,}  {name}")
    print(f"\n{pushed.card}")
    return 0
