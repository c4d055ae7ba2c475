"""nDCG and the other measures of a ranking, as trec_eval computes them."""

from __future__ import annotations

import random
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
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
# Names are checked here and not only by ir_measures, because a cutoff of 0 makes trec_eval end the whole process.
# IPrec is left out: trec_eval's versions disagree on it (since 9.0.8 recall levels are rounded differently).
_MEASURE = re.compile(
    rf"nDCG({_CUTOFF})?"
    rf"|(AP|RR){_LEAST_GRADE}({_CUTOFF})?"
    rf"|(P|R|Success){_LEAST_GRADE}{_CUTOFF}"
    rf"|(Rprec|Bpref|infAP|SetP|SetR|SetF|SetAP|NumRet){_LEAST_GRADE}"
    r"|NumRel"
)
# Spellings of papers and of ir_measures, in lower case.
_SPELLINGS = {"map": "AP", "mrr": "RR", "recall": "R", "precision": "P", "numret": "NumRet", "numrel": "NumRel"} | {
    name.lower(): name
    for name in ("nDCG", "AP", "RR", "P", "R", "Success", "Rprec", "Bpref", "infAP", "SetP", "SetR", "SetF", "SetAP")
}
_BASE = re.compile(r"[A-Za-z]+")
# Names as trec_eval prints them; a cutoff follows the last underscore.
_TREC_EVAL = {
    "ndcg": "nDCG",
    "ndcg_cut": "nDCG@",
    "map": "AP",
    "map_cut": "AP@",
    "recip_rank": "RR",
    "P": "P@",
    "recall": "R@",
    "success": "Success@",
    "Rprec": "Rprec",
    "bpref": "Bpref",
    "infAP": "infAP",
    "set_P": "SetP",
    "set_recall": "SetR",
    "set_F": "SetF",
    "set_map": "SetAP",
    "num_ret": "NumRet",
    "num_rel": "NumRel",
}
_TREC_EVAL_NAME = re.compile(r"([A-Za-z_]+?)(?:_([1-9][0-9]{0,5}))?")


@dataclass(frozen=True, slots=True)
class Scores:
    """A run's scores: `mean` by measure, `per_query` by measure and query, over `query_count` queries."""

    mean: dict[str, float]
    per_query: dict[str, dict[str, float]]
    query_count: int


def judged_by_query(qrels: Iterable[Qrel]) -> dict[str, dict[str, int]]:
    """The relevance of each query's judged documents."""
    judged: dict[str, dict[str, int]] = {}
    for qrel in qrels:
        judged.setdefault(qrel.query_id, {})[qrel.doc_id] = qrel.relevance
    return judged


def score_run(qrels: Iterable[Qrel], run: Run, measures: Sequence[str] = (DEFAULT_MEASURE,)) -> Scores:
    """Score a run with trec_eval, through ir_measures, over every query of the qrels.

    A judged query that the run lacks scores 0 (`trec_eval -c`); a query of the run without qrels is ignored.
    A query without a relevant document scores 0 and counts in the mean, as in trec_eval. A negative relevance
    has a gain of 0. Gains are linear: nDCG takes the relevance itself, not 2 to its power. `NumRet` and
    `NumRel` are means over queries too, where trec_eval prints totals.

    Args:
        qrels: Human judgments, each pair of query and document once.
        run: The ranking to score.
        measures: Names as ir_measures spells them (`MEASURE_EXAMPLES`), or as papers do: `MAP`, `MRR@10`,
            `Recall@100`.

    Raises:
        InputError: There are no qrels, no measures, or a measure that trec_eval does not have.
    """
    judged = judged_by_query(qrels)
    if not judged:
        raise InputError("there are no qrels to score the run against; give judged documents")
    check_measures(measures)
    names = {name: canonical_measure(name) for name in measures}
    # A query with only negative relevances makes trec_eval loop for ever or read foreign memory.
    scorable = {query_id: grades for query_id, grades in judged.items() if max(grades.values()) >= 0}
    values = _values(scorable, run, list(dict.fromkeys(names.values())))
    per_query = {
        name: {query_id: values[measure].get(query_id, 0.0) for query_id in judged} for name, measure in names.items()
    }
    mean = {name: fmean(scores.values()) for name, scores in per_query.items()}
    return Scores(mean, per_query, len(judged))


def only_judged(qrels: Iterable[Qrel], run: Run) -> Run:
    """The run without unjudged documents, as trec_eval's -J scores it."""
    judged = judged_by_query(qrels)
    return Run.from_orders(
        {
            query_id: [doc_id for doc_id in run.doc_ids(query_id) if doc_id in judged[query_id]]
            for query_id in run
            if query_id in judged
        },
        tag=run.tag,
    )


def notes_on_meeting(qrels: Iterable[Qrel], run: Run) -> list[str]:
    """Notes on a mismatch of run and qrels, which makes scores 0 however good the ranking is."""
    judged = judged_by_query(qrels)
    shared = [query_id for query_id in run if query_id in judged]
    if not shared:
        return [
            f"the run and the qrels share no query (the run has {next(iter(run), 'none')!r}, the qrels "
            f"{next(iter(judged), 'none')!r}), so everything is 0; check that both belong to one collection"
        ]
    notes = []
    if lacking := len(judged) - len(shared):
        notes.append(f"{lacking} of the {len(judged)} judged queries are not in the run and count as 0")
    if not any(doc_id in judged[query_id] for query_id in shared for doc_id in run.scores(query_id)):
        notes.append("the run ranks no judged document, so everything is 0; check that both use the same document ids")
    return notes


def _values(judged: Mapping[str, Mapping[str, int]], run: Run, measures: Sequence[str]) -> dict[str, dict[str, float]]:
    """Each query's score, by measure."""
    from ir_measures import parse_measure, pytrec_eval  # slow to import, and `interank --help` imports this module

    # trec_eval's reciprocal rank has no cutoff, so it is set to 0 below the cutoff here.
    depths = {name: int(name.partition("@")[2]) for name in measures if name.startswith("RR") and "@" in name}
    parsed = {name: parse_measure(name.partition("@")[0] if name in depths else name) for name in measures}
    values: dict[Any, dict[str, float]] = {measure: {} for measure in parsed.values()}
    # Documents below every cutoff change no value and take trec_eval's time.
    depth = deepest(measures)
    cut = run if depth is None else run.top(depth)
    scores = {query_id: cut.scores(query_id) for query_id in cut if query_id in judged}
    for metric in pytrec_eval.iter_calc(list(values), judged, scores):
        values[metric.measure][metric.query_id] = float(metric.value)
    return {
        name: {
            i: value if name not in depths or value >= 1 / depths[name] else 0.0 for i, value in values[measure].items()
        }
        for name, measure in parsed.items()
    }


def deepest(measures: Iterable[str]) -> int | None:
    """The largest cutoff of the measures; None if one has no cutoff."""
    cutoffs = [int(cutoff) if cutoff else None for _, _, cutoff in (name.partition("@") for name in measures)]
    return None if None in cutoffs else max(cutoff for cutoff in cutoffs if cutoff)


def tie_bounds(
    qrels: Iterable[Qrel], scored: Mapping[str, Mapping[str, float]], measures: Sequence[str] = (DEFAULT_MEASURE,)
) -> tuple[dict[str, float], dict[str, float]]:
    """The lowest and the highest means that a run can score over all orders of its tied documents.

    None of these measures falls when a relevant document moves up, so the extremes sort the tied documents by
    relevance, ascending or descending.

    Args:
        qrels: Human judgments.
        scored: Scores by query and document, as `trec.read_scored` reads them; scores equal in float32 tie.
        measures: As of `score_run`.

    Raises:
        InputError: As of `score_run`; or a measure is infAP, which may fall when a relevant document moves up.
    """
    judged = list(qrels)
    for name in measures:
        if canonical_measure(name).startswith("infAP"):
            raise InputError(f"the bounds of {name!r} over the orders of ties are not known; leave the measure out")
    relevance = {(qrel.query_id, qrel.doc_id): max(qrel.relevance, 0) for qrel in judged}

    def ordered(sign: int) -> Run:
        rankings = {}
        for query_id, scores in scored.items():
            rows = [
                (score, sign * relevance.get((query_id, doc_id), 0), doc_id)
                for score, doc_id in zip(array("f", scores.values()), scores, strict=True)
            ]
            rows.sort(reverse=True)
            rankings[query_id] = [ScoredDoc(query_id, doc_id, score) for score, _, doc_id in rows]
        return Run(rankings, tag="ties")

    return score_run(judged, ordered(-1), measures).mean, score_run(judged, ordered(1), measures).mean


def check_measures(names: Sequence[str]) -> None:
    """Refuse an empty list or an unknown measure.

    Raises:
        InputError: No measure is named, or trec_eval does not have one of them.
    """
    if not names:
        raise InputError(f"no measure was named; name one or more, for example {', '.join(MEASURE_EXAMPLES)}")
    for name in names:
        canonical_measure(name)


def ideal_run(qrels: Iterable[Qrel], candidates: Run, *, depth: int | None = None) -> Run:
    """The best possible reranking of the candidates: by relevance, ties in candidate order.

    Its score is the ceiling for any reranker of these candidates. Unjudged documents count as irrelevant.

    Args:
        qrels: Human judgments.
        candidates: The first-stage run.
        depth: How many documents of each query are kept; all if None.
    """
    relevance = judged_by_query(qrel for qrel in qrels if qrel.relevance > 0)
    orders = {}
    for query_id in candidates:
        scores = candidates.scores(query_id)
        grades = {doc_id: grade for doc_id, grade in relevance.get(query_id, {}).items() if doc_id in scores}
        # A run's scores fall strictly, so sorting by them keeps candidate order.
        best = sorted(grades, key=lambda doc_id: (-grades[doc_id], -scores[doc_id]))
        others = (doc_id for doc_id in scores if doc_id not in grades)
        orders[query_id] = list(islice(chain(best, others), depth))
    return Run.from_orders(orders, tag="ideal")


def random_run(candidates: Run, seed: int, *, depth: int | None = None) -> Run:
    """The candidates in random order, whose score is the floor for a reranker of these candidates.

    A query's order depends on the seed, its id and its candidates, not on the other queries.

    Args:
        candidates: The first-stage run.
        seed: The seed of the order.
        depth: How many documents of each query are kept; all if None.
    """
    orders = {}
    for query_id in candidates:
        doc_ids = candidates.doc_ids(query_id)
        count = len(doc_ids) if depth is None else min(depth, len(doc_ids))
        orders[query_id] = random.Random(f"{seed} {query_id}").sample(doc_ids, count)
    return Run.from_orders(orders, tag="random")


def canonical_measure(name: str) -> str:
    """A measure's name as ir_measures spells it: `RR@10` for `MRR@10`, `AP` for `map`, `nDCG@10` for `ndcg_cut_10`.

    Raises:
        InputError: trec_eval does not have this measure.
    """
    printed = _TREC_EVAL_NAME.fullmatch(name)
    if printed and (measure := _TREC_EVAL.get(printed[1])) and measure.endswith("@") == bool(printed[2]):
        return measure + (printed[2] or "")
    base = _BASE.match(name)
    canonical = _SPELLINGS.get(base[0].lower(), "") + name[base.end() :] if base else ""
    if not _MEASURE.fullmatch(canonical):
        raise InputError(
            f"trec_eval has no measure {name!r}; spell it as ir_measures does, for example "
            f"{', '.join(MEASURE_EXAMPLES)}"
        )
    return canonical
