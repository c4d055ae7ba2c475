"""nDCG and the other measures of a ranking, as trec_eval computes them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from interank.errors import InputError
from interank.types import Qrel, Run, ScoredDoc

DEFAULT_MEASURE = "nDCG@10"

MEASURE_EXAMPLES = (
    DEFAULT_MEASURE,
    "nDCG",
    "AP",
    "AP(rel=2)",
    "RR",
    "P@10",
    "R@100",
    "Success@1",
    "Rprec",
    "Bpref",
)

_CUTOFF = r"@[1-9][0-9]{0,5}"
_LEAST_GRADE = r"(\(rel=[1-9][0-9]?\))?"
# Names are checked here and not only by ir_measures: trec_eval ends the whole process at a cutoff of 0. IPrec
# is left out, for trec_eval's versions disagree on it (from 9.0.8 on, recall levels are rounded otherwise).
_MEASURE = re.compile(
    rf"nDCG({_CUTOFF})?"
    rf"|AP{_LEAST_GRADE}({_CUTOFF})?"
    rf"|(P|R|Success){_LEAST_GRADE}{_CUTOFF}"
    rf"|(RR|Rprec|Bpref|infAP|SetP|SetR|SetF|SetAP|NumRet){_LEAST_GRADE}"
    r"|NumRel"
)


@dataclass(frozen=True, slots=True)
class Scores:
    """What a run scores: `mean` by measure, `per_query` by measure and query, over `query_count` queries."""

    mean: dict[str, float]
    per_query: dict[str, dict[str, float]]
    query_count: int


def score_run(qrels: Iterable[Qrel], run: Run, measures: Sequence[str] = (DEFAULT_MEASURE,)) -> Scores:
    """Score a run with trec_eval, through ir_measures, over every query of the qrels.

    A judged query that the run lacks scores 0 (`trec_eval -c`); a query of the run without qrels is ignored.
    A query none of whose judged documents is relevant scores 0 and counts in the mean, as in trec_eval. A
    relevance below 0 gains nothing, as 0 does. Gains are linear: nDCG takes the relevance itself, not 2 to
    its power. `NumRet` and `NumRel` are means over queries too, where trec_eval prints totals.

    Args:
        qrels: Human judgments, each pair of query and document once.
        run: The ranking to score.
        measures: ir_measures' names, such as those in `MEASURE_EXAMPLES`.

    Raises:
        InputError: There are no qrels, no measures, or a measure that trec_eval does not have.
    """
    judged = list(qrels)
    if not judged:
        raise InputError("found no qrels; expected judged documents to score the run against; give some")
    if not measures:
        raise InputError(f"found no measure; expected one or more of the kind of {', '.join(MEASURE_EXAMPLES)}")
    parsed = {name: _parse(name) for name in measures}
    from ir_measures import pytrec_eval  # slow to import, and `interank --help` comes by here

    # trec_eval loops for ever, or reads memory that is not its own, at a query with negative relevances only.
    scorable = {qrel.query_id for qrel in judged if qrel.relevance >= 0}
    values = {
        (found.measure, found.query_id): float(found.value)
        for found in pytrec_eval.iter_calc(
            list(dict.fromkeys(parsed.values())),
            [qrel for qrel in judged if qrel.query_id in scorable],
            run.scored_docs(),
        )
    }
    query_ids = list(dict.fromkeys(qrel.query_id for qrel in judged))
    per_query = {
        name: {query_id: values.get((measure, query_id), 0.0) for query_id in query_ids}
        for name, measure in parsed.items()
    }
    mean = {name: fmean(scores.values()) for name, scores in per_query.items()}
    return Scores(mean, per_query, len(query_ids))


def check_measures(names: Iterable[str]) -> None:
    """Find a wrong measure before anything is computed that would be scored by it.

    Raises:
        InputError: A name is none of trec_eval's measures.
    """
    for name in names:
        _parse(name)


def ideal_run(qrels: Iterable[Qrel], candidates: Run) -> Run:
    """The best possible reranking of the candidates: by relevance, ties in candidate order.

    What it scores is the ceiling of any reranker of these candidates. Unjudged documents count as irrelevant.
    """
    relevance = {(qrel.query_id, qrel.doc_id): qrel.relevance for qrel in qrels}
    scored = (
        ScoredDoc(item.query_id, item.doc_id, relevance.get((item.query_id, item.doc_id), 0))
        for item in candidates.scored_docs()
    )
    return Run.from_scores(scored, first_stage=candidates, tag="ideal")


def random_run(candidates: Run, seed: int) -> Run:
    """The candidates in random order: what it scores is the floor of a reranker of these candidates.

    A query's order depends on the seed, its id and its candidates, not on the other queries.
    """
    rankings = {}
    for query_id, ranking in candidates.items():
        order = random.Random(f"{seed} {query_id}")
        shuffled = order.sample(ranking, len(ranking))
        rankings[query_id] = [
            ScoredDoc(query_id, item.doc_id, len(shuffled) - place) for place, item in enumerate(shuffled)
        ]
    return Run(rankings, tag="random")


def _parse(name: str) -> Any:
    """ir_measures' measure of this name."""
    if not _MEASURE.fullmatch(name):
        raise InputError(
            f"found the measure {name!r}; expected one that trec_eval has, spelled as ir_measures does; "
            f"take, for example, {', '.join(MEASURE_EXAMPLES)}"
        )
    from ir_measures import parse_measure

    return parse_measure(name)
