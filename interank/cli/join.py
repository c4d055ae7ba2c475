"""`interank join`: joins the shards of several commands to one output."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from interank.cli.next_step import say_next
from interank.cli.stage import show_evaluation, what_comes_next


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "join",
        parents=[common],
        help="join the shards of generate or evaluate to one output",
        description="Check that each shard of interank generate or evaluate --shards is there once, all of one recipe "
        "and the same inputs, and join them to the output that one command without --shards would have made.",
        epilog="example:\n  interank join runs/shards --out runs/judgments",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("shards", metavar="DIR", nargs="+", type=Path, help="a shard's folder, or a folder of shards")
    verb.add_argument("--out", required=True, type=Path, metavar="DIR", help="the output folder")
    existing = verb.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="reuse a finished output")
    existing.add_argument("--overwrite", action="store_true", help="replace an output")
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    existing = "resume" if options.resume else "overwrite" if options.overwrite else "refuse"
    artifact = importlib.import_module("interank.stages.join").run(options.shards, options.out, existing=existing)
    if artifact.kind == "evaluation":
        show_evaluation(artifact, as_json=False)
    else:
        print(artifact.path)
    say_next(options, *what_comes_next("evaluate" if artifact.kind == "evaluation" else "generate", artifact))
    return 0
