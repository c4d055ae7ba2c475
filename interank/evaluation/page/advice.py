"""The page's advice: which systems and queries do not differ significantly, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from interank.evaluation.page.claim import best_system
from interank.evaluation.rankings import Evaluation
from interank.evaluation.scoring import Results
from interank.evaluation.tables import SIGNIFICANT, chance
from interank.wording import counted

# Pairs named in the sentence; the rest are counted.
_MOST = 4


def undecided(evaluation: Evaluation, results: Results, measure: str) -> list[str]:
    """Sentences on pairs of systems without a significant difference, and on queries where all systems are equal."""
    alike = [
        f"{item['system']} and {item['against']} (p {chance(item['p_corrected'])})"
        for item in results.comparisons
        if item["measure"] == measure and item["p_corrected"] >= SIGNIFICANT
    ]
    sentences = []
    if alike:
        more = f" and {counted(len(alike) - _MOST, 'other pair')}" if len(alike) > _MOST else ""
        sentences.append(f"Not told apart: {', '.join(islice(alike, _MOST))}{more}.")
    elif len(evaluation.runs) > 1:
        sentences.append("All pairs of systems differ by more than chance.")
    equal, queries = _equal(results, list(evaluation.runs), measure)
    if equal and len(evaluation.runs) > 1:
        sentences.append(f"On {equal} of {counted(queries, 'query', 'queries')} all systems have the same {measure}.")
    return sentences


def next_steps(evaluation: Evaluation, results: Results, measure: str) -> list[str]:
    """What to do next, depending on the best system's gain over the first stage."""
    name = best_system(results, list(evaluation.runs), measure)
    if name is None:
        return ["Rank with a model to compare: adapters=DIR, or runs=FILE for stored runs."]
    gain = results.metrics[name][measure]["gain"]
    if gain["p_corrected"] >= SIGNIFICANT:
        return [
            "Do not choose by these means: chance could have made them. Take more queries, or a system that differs "
            "more.",
            "Fuse with the first stage: interank fit, on queries other than these, often helps where a reranker alone "
            "does not.",
        ]
    if gain["mean"] < 0:
        return [
            "Do not use it by itself: it ranks below the first stage. Read its worst losses in the rankings below.",
            "Try it fused: interank fit, on other queries.",
        ]
    return [
        "Read the worst losses in the rankings below before you use it: a mean can hide much.",
        "Fit probabilities and when to abstain on other queries: interank fit.",
    ]


def _equal(results: Results, systems: Sequence[str], measure: str) -> tuple[int, int]:
    """The number of queries on which all systems have the same value, and the number of all queries."""
    equal = sum(len({round(row[name][measure], 6) for name in systems}) == 1 for row in results.per_query)
    return equal, len(results.per_query)
