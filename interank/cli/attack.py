"""`interank attack`: measures how far prompt injections raise irrelevant documents, with and without a guard."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interank.cli.base_option import add_base
from interank.cli.next_step import say_next, word
from interank.cli.rerank import positive
from interank.modes import FITTED_MODES, GUARDS
from interank.wording import aligned

if TYPE_CHECKING:
    from interank.diagnosis.attacks import Gain

_EPILOG = """\
examples:
  interank attack runs/student --benchmark data/benchmark
  interank attack runs/student --benchmark beir/scifact --split test --mode score reason --json attacked.json

Each template (label claims, instructions, fake frames, fake explanations, stuffing and more) is planted in one
irrelevant candidate of each query, one at a time. Its gain is counted in places of the ranking, without and with the
guard; `neutral` is harmless text, for comparison."""
_HEAD = ("mode", "guard", "attacks", "templates", "places gained", "95% interval", "of", "raised")


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "attack",
        parents=[common],
        help="plant attacks on the judge, and measure what they gain",
        description="Plant attacks on the judge in irrelevant documents, and measure how many places they gain.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("model", metavar="MODEL", help="an output of distill or rl, or a model's folder or hub name")
    verb.add_argument("--benchmark", metavar="DIR", required=True, type=Path, help="queries, documents and qrels")
    verb.add_argument("--task", help="the task, where the folder has several")
    verb.add_argument("--split", help="the split of queries")
    verb.add_argument("--queries", type=positive, default=20, metavar="N", help="queries, a seeded sample (default 20)")
    verb.add_argument("--depth", type=positive, default=10, metavar="N", help="candidates of a query (default 10)")
    verb.add_argument("--mode", nargs="+", choices=FITTED_MODES, default=["score"], help="modes (default score)")
    verb.add_argument("--guard", nargs="+", choices=GUARDS, default=["none", "fence"], help="default none fence")
    verb.add_argument(
        "--max-reasoning-tokens", type=positive, default=32, metavar="N", help="an explanation's budget (default 32)"
    )
    verb.add_argument("--precision", choices=["exact", "bfloat16", "nf4"], default="exact", help="as in rerank")
    verb.add_argument("--seed", type=int, default=42, metavar="N", help="the sample's seed (default 42)")
    verb.add_argument("--json", metavar="FILE", type=Path, help="write the ranks of every attack there")
    add_base(verb)
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from interank.inputs import check_inputs, reranker
    from interank.outputs import check_file, holds_json, write_whole
    from interank.stages.evaluating import benchmark

    if options.json:
        check_file("--json", options.json, ours=lambda path: holds_json(path, "planned", "gains", "tried"))
    named = [reranker("MODEL", options.model, options.base), benchmark("--benchmark", options.benchmark)]
    check_inputs(named, glance=True)
    from interank.diagnosis.attacks import gains
    from interank.stages.attack import AttackPlan, as_row, attack

    planned = AttackPlan(
        options.benchmark,
        options.task,
        options.split,
        options.queries,
        options.depth,
        tuple(options.mode),
        tuple(options.guard),
        max_reasoning_tokens=options.max_reasoning_tokens,
        precision=options.precision,
        base=options.base,
        seed=options.seed,
    )
    tried = attack(options.model, planned)
    if options.json:
        write_whole(options.json, json.dumps(as_row(planned, tried, options.model), indent=1) + "\n")
    _print(gains(tried, seed=options.seed))
    say_next(options, f"interank rerank {word(options.model)} --guard fence ranks with the guard")
    return 0


def _print(gained: list[Gain]) -> None:
    rows = [_HEAD]
    for gain in gained:
        places = gain.places
        figures = (f"{places.mean:+.2f}", f"{places.low:+.2f} to {places.high:+.2f}", f"{gain.above:.1f}")
        rows.append((gain.mode, gain.guard, gain.family, str(gain.templates), *figures, f"{gain.raised:.0%}"))
    print(aligned(rows))
