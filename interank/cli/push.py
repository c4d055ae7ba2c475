"""`interank push`: an adapter, an export, judgments or an evaluation to the hub."""

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

The card is completed with what the hub finds models by, and with the measures of an evaluation. A file that names a
path of this machine, or holds a key, stops it. Keys come from `hf auth login` or HF_TOKEN."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "push",
        parents=[common],
        help="send an adapter, an export, judgments or an evaluation to the hub",
        description="Send an adapter, an export, judgments or an evaluation to the Hugging Face hub, with its card.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("source", metavar="DIR", type=Path, help="an output of distill, rl, generate, evaluate or export")
    verb.add_argument("repo", metavar="REPO", help="the repository, as OWNER/NAME")
    verb.add_argument("--create-pr", action="store_true", help="propose it instead of committing it")
    verb.add_argument("--private", action="store_true", help="if the repository is new, let nobody else see it")
    verb.add_argument("--dry-run", action="store_true", help="show files and card, and send nothing")
    verb.add_argument("--results", metavar="DIR", type=Path, help="an evaluation of this model, told with it")
    verb.add_argument("--base-name", metavar="OWNER/MODEL", help="the hub's name of what an adapter stands on")
    verb.add_argument("--license", metavar="NAME", help="the licence, as apache-2.0; else the base's, where known")
    verb.add_argument("--dataset", metavar="NAME", nargs="+", default=[], help="the hub's names of its training data")
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from interank.stages.push import Pushing, push

    asked = Pushing(
        options.repo,
        options.base_name,
        options.results,
        options.license,
        tuple(options.dataset),
        options.create_pr,
        options.private,
    )
    found = push(options.source, asked, dry_run=options.dry_run)
    if found.url:
        print(found.url)
        return 0
    for name, size in found.files.items():
        print(f"{size:>12,}  {name}")
    print(f"\n{found.card}")
    return 0
