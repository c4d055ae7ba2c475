"""`interank score`: measures a stored run, without a model."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from interank.cli.next_step import say_next, word

log = logging.getLogger(__name__)


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "score",
        parents=[common],
        help="measure a stored run against qrels",
        description="Print measures of a TREC run against qrels, plain or gzipped, as trec_eval computes them.",
        epilog="example:\n  interank score qrels.tsv run.trec nDCG@10 RR R@100\n  nDCG@10  0.4321",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("qrels", metavar="QRELS", type=Path, help="TREC's four columns or BEIR's three")
    verb.add_argument("run_file", metavar="RUN", type=Path, help="a TREC run")
    verb.add_argument(
        "measures", metavar="MEASURE", nargs="*", help="as nDCG@10, the default, or by trec_eval's names: ndcg_cut_10"
    )
    verb.add_argument("--judged-only", action="store_true", help="leave out unjudged documents, as trec_eval's -J does")
    verb.add_argument("--json", action="store_true", help="print one JSON object")
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from interank.ir.measures import notes_on_meeting, only_judged, score_run, tie_bounds
    from interank.ir.trec import read_qrels, read_run, read_scored

    measures = options.measures or ["nDCG@10"]
    qrels, run = read_qrels(options.qrels), read_run(options.run_file)
    for note in notes_on_meeting(qrels, run):
        log.warning("%s: %s", options.run_file, note)
    scores = score_run(qrels, only_judged(qrels, run) if options.judged_only else run, measures)
    if run.tied and not options.judged_only:
        lowest, highest = tie_bounds(qrels, read_scored(options.run_file), measures)
        ranges = ", ".join(f"{name} {lowest[name]:.4f} to {highest[name]:.4f}" for name in scores.mean)
        log.warning(
            "%s: %d documents tie with another; they are ordered as trec_eval does, by descending document id; "
            "in other orders: %s",
            options.run_file,
            run.tied,
            ranges,
        )
    if options.json:
        print(json.dumps(scores.mean))
        return 0
    width = max(len(name) for name in scores.mean)
    for name, value in scores.mean.items():
        print(f"{name:<{width}}  {value:.4f}")
    say_next(
        options,
        f"interank evaluate evaluate/benchmark benchmark=DIR first_stage=null run={word(options.run_file)} "
        "--out runs/eval gives intervals and a report",
    )
    return 0
