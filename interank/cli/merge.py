"""`interank merge`: merges an adapter into its base, for engines that run no adapters."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from interank.cli.base_option import add_base
from interank.cli.next_step import say_next, word

_EPILOG = """\
example:
  interank merge runs/student --out runs/student-merged
  interank rerank runs/student-merged --query "why does bread collapse?" notes.txt

Weights are merged in float32 from the base's own weights, never from 4-bit ones, and written in bfloat16. If a score on
the golden set moves by more than the tolerance, nothing is written. Fits stored in the adapter are copied."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "merge",
        parents=[common],
        help="fold an adapter into its base, checked",
        description="Fold an adapter into its base model, in bfloat16, and check that it scores as before.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("adapter", metavar="ADAPTER", type=Path, help="an output of distill or rl")
    verb.add_argument("--out", metavar="DIR", required=True, type=Path, help="the merged model's folder")
    verb.add_argument(
        "--tolerance", type=float, default=0.2, metavar="X", help="how far a score may move (default 0.2)"
    )
    add_base(verb, "ADAPTER")
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from interank.inputs import artifact, check_inputs
    from interank.stages.inputs import refuse_taken

    refuse_taken(options.out, options.adapter)
    check_inputs([artifact("ADAPTER", options.adapter, "adapter")], glance=True)
    from interank.stages.merge import merge

    folder = merge(options.adapter, options.out, tolerance=options.tolerance, base=options.base).folder
    print(folder)
    say_next(options, f'interank rerank {word(folder)} --query "..." FILE, or vllm serve {word(folder)}')
    return 0
