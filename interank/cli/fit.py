"""`interank fit`: the weight of fusion, a calibrator and when to abstain, from an evaluation of one split."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interank.cli.next_step import say_next, word

if TYPE_CHECKING:
    from interank.reranking.fitting import Fit

_EPILOG = """\
example:
  interank evaluate evaluate/benchmark benchmark=DIR split=dev adapters=runs/rl --out runs/dev
  interank fit runs/dev --into runs/rl
  interank evaluate evaluate/benchmark benchmark=DIR split=test adapters=runs/rl fits=runs/rl --out runs/test
  interank rerank runs/rl --query "why does bread collapse?" notes.txt  # probabilities; when to abstain
  interank rerank runs/rl --fit runs/rl --corpus DIR --trec fused.trec  # fused as well

A fit belongs to one adapter in one mode, and evaluate refuses to measure it on the queries that it was fitted on.
With --out FILE it lies apart from the adapter, and --fit FILE, fits=FILE apply it."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "fit",
        parents=[common],
        help="fusion weight and calibrator, from an evaluation",
        description="Fit how to mix a reranker with the first stage, and what its scores say, on an evaluation.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument(
        "evaluation", metavar="EVALUATION", type=Path, help="an output of evaluate, on a validation split"
    )
    place = verb.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--into",
        metavar="ADAPTER",
        type=Path,
        help="the evaluated output of distill, rl or merge, which then stores it",
    )
    place.add_argument("--out", metavar="FILE", type=Path, help="a JSON file")
    verb.add_argument("--system", metavar="NAME", help="which reranker, where the evaluation has several")
    verb.add_argument(
        "--fusion",
        choices=["best", "zscore", "minmax", "rrf", "none"],
        default="best",
        help="how scores are mixed with the first stage's (%(default)s)",
    )
    verb.add_argument(
        "--calibrator",
        choices=["best", "temperature", "isotonic", "none"],
        default="best",
        help="how a score becomes a probability (%(default)s)",
    )
    verb.add_argument(
        "--coverage", type=float, default=0.8, metavar="SHARE", help="of the queries, to be answered (default 0.8)"
    )
    verb.add_argument(
        "--label-mass", type=float, default=0.5, metavar="X", help="abstain below this label mass (default 0.5)"
    )
    verb.add_argument("--benchmark", type=Path, metavar="DIR", help="where the benchmark is, if it was moved")
    verb.add_argument("--overwrite", action="store_true", help="replace what is there")
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from interank.evaluation.fitting import FitSettings
    from interank.outputs import check_file, holds_json
    from interank.stages.fit import fit, fit_into

    if options.out:
        check_file("--out", options.out, ours=lambda path: holds_json(path, "kind", "origin", "tried"))
    settings = FitSettings(
        options.system, options.fusion, options.calibrator, coverage=options.coverage, label_mass=options.label_mass
    )
    given: dict[str, Any] = {"benchmark": options.benchmark, "overwrite": options.overwrite}
    if options.into:
        made, place = fit_into(options.evaluation, options.into, settings, **given)
    else:
        made, place = fit(options.evaluation, options.out, settings, **given), options.out
    _tell(made)
    print(place)
    adapter, stored = word(options.into or "ADAPTER"), word(options.into or options.out)
    mode = f" mode={made.origin.mode}" if made.origin.mode != "score" else ""
    say_next(
        options,
        f"interank evaluate evaluate/benchmark benchmark=DIR split=test adapters={adapter} fits={stored}{mode} "
        "--out runs/test measures it on other queries",
    )
    return 0


def _tell(made: Fit) -> None:
    """What was found."""
    if made.fusion:
        tried = made.tried["fusion"][made.fusion.method]
        print(
            f"fusion: {made.fusion.method}, weight {made.fusion.weight:g}: {made.origin.measure} {max(tried):.4f} "
            f"(reranker alone {tried[-1]:.4f}, first stage alone {tried[0]:.4f})"
        )
    if made.calibrator:
        print(f"calibrator: {type(made.calibrator).__name__.lower()}; the probability is {made.origin.predicts}")
    if made.abstention:
        print(
            f"abstain below probability {made.abstention.probability:.4f} or label mass {made.abstention.label_mass:g}"
            + (f"; unfused below {made.unfused.probability:.4f}" if made.unfused else "")
        )
