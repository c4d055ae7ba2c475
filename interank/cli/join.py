"""`interank join`: the shards that several commands judged to one output."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from interank.cli.next_step import say_next, word


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "join",
        parents=[common],
        help="shards of generate to judgments, as a whole run makes them",
        description="Check that each shard of interank generate --shards is there once, of one recipe and the same "
        "pairs, and join them to the judgments that one command for all of them would have made.",
        epilog="example:\n  interank join runs/shards --out runs/judgments",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("shards", metavar="DIR", nargs="+", type=Path, help="a shard's folder, or a folder of such")
    verb.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the judgments go")
    existing = verb.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="reuse a finished output")
    existing.add_argument("--overwrite", action="store_true", help="replace an output")
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    existing = "resume" if options.resume else "overwrite" if options.overwrite else "refuse"
    artifact = importlib.import_module("interank.stages.join").run(options.shards, options.out, existing=existing)
    print(artifact.path)
    say_next(options, f"interank distill distill/smollm2 judgments={word(artifact.path)} --out runs/student")
    return 0
