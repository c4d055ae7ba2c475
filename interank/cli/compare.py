"""`interank compare`: shows evaluations of the same candidates side by side on one page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interank.cli.next_step import say_next, word

if TYPE_CHECKING:
    from interank.artifact import Existing

_EPILOG = """\
examples:
  interank compare runs/eval-student runs/eval-rl --out compared.html
  interank compare runs/eval other.trec --out runs/compared

An evaluation stores a digest of its candidates; evaluations of different candidates are refused."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "compare",
        parents=[common],
        help="compare evaluations of the same candidates on one page",
        description="Score the systems of several evaluations, and stored runs, together on one page.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("files", metavar="EVALUATION", nargs="+", type=Path, help="an output of evaluate, or a TREC run")
    verb.add_argument(
        "--out", required=True, type=Path, metavar="PATH", help="a folder for all files, or a file.html for the page"
    )
    verb.add_argument("--benchmark", type=Path, metavar="DIR", help="the benchmark, if it was moved")
    verb.add_argument("--overwrite", action="store_true", help="replace an output")
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from interank.artifact import open_artifact
    from interank.cli.stage import show_evaluation
    from interank.stages.compare import run

    existing: Existing = "overwrite" if options.overwrite else "refuse"
    out = run(options.files, options.out, benchmark=options.benchmark, existing=existing)
    if out.is_dir():
        show_evaluation(open_artifact(out), as_json=False)
    else:
        print(f"page: {out}")
    say_next(options, f"open {word(out / 'report.html' if out.is_dir() else out)} in a browser")
    return 0
