"""`interank fit`: fits fusion weight, calibrator and abstention thresholds on an evaluation of one split."""

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
--out FILE keeps it apart from the adapter; --fit FILE and fits=FILE apply it."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "fit",
        parents=[common],
        help="fit fusion weight and calibrator on an evaluation",
        description="Fit how a reranker is fused with the first stage and how its scores are calibrated.",
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
        help="store the fit in the evaluated output of distill, rl or merge",
    )
    place.add_argument("--out", metavar="FILE", type=Path, help="write the fit to a JSON file")
    verb.add_argument("--system", metavar="NAME", help="the reranker, where the evaluation has several")
    verb.add_argument(
        "--fusion",
        choices=["best", "zscore", "minmax", "rrf", "none"],
        default="best",
        help="how scores are fused with the first stage's (%(default)s)",
    )
    verb.add_argument(
        "--calibrator",
        choices=["best", "temperature", "isotonic", "none"],
        default="best",
        help="how a score becomes a probability (%(default)s)",
    )
    verb.add_argument(
        "--coverage", type=float, default=0.8, metavar="SHARE", help="the share of queries to answer (default 0.8)"
    )
    verb.add_argument(
        "--label-mass", type=float, default=0.5, metavar="X", help="abstain below this label mass (default 0.5)"
    )
    verb.add_argument("--benchmark", type=Path, metavar="DIR", help="the benchmark, if it was moved")
    verb.add_argument("--overwrite", action="store_true", help="replace an existing fit")
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
    more: dict[str, Any] = {"benchmark": options.benchmark, "overwrite": options.overwrite}
    if options.into:
        fitted, place = fit_into(options.evaluation, options.into, settings, **more)
    else:
        fitted, place = fit(options.evaluation, options.out, settings, **more), options.out
    _print(fitted)
    print(place)
    adapter, stored = word(options.into or "ADAPTER"), word(options.into or options.out)
    mode = f" mode={fitted.origin.mode}" if fitted.origin.mode != "score" else ""
    say_next(
        options,
        f"interank evaluate evaluate/benchmark benchmark=DIR split=test adapters={adapter} fits={stored}{mode} "
        "--out runs/test measures it on other queries",
    )
    return 0


def _print(fitted: Fit) -> None:
    if fitted.fusion:
        values = fitted.tried["fusion"][fitted.fusion.method]
        print(
            f"fusion: {fitted.fusion.method}, weight {fitted.fusion.weight:g}: {fitted.origin.measure} "
            f"{max(values):.4f} (reranker alone {values[-1]:.4f}, first stage alone {values[0]:.4f})"
        )
    if fitted.calibrator:
        print(f"calibrator: {type(fitted.calibrator).__name__.lower()}; the probability is {fitted.origin.predicts}")
    if fitted.abstention:
        print(
            f"abstain below probability {fitted.abstention.probability:.4f} or label mass "
            f"{fitted.abstention.label_mass:g}"
            + (f"; unfused below {fitted.unfused.probability:.4f}" if fitted.unfused else "")
        )
