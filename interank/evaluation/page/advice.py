"""What an evaluation leaves open, and what to do next: where nothing differs by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from interank.evaluation.evaluated import Evaluation
from interank.evaluation.page.claim import best_system
from interank.evaluation.scoring import Results
from interank.evaluation.tables import SIGNIFICANT, chance
from interank.wording import counted

# More would be no sentence.
_MOST = 4


def untold(found: Evaluation, results: Results, measure: str) -> list[str]:
    """Where nothing differs: pairs that chance could have parted, and queries on which all systems are equal."""
    alike = [
        f"{item['system']} and {item['against']} (p {chance(item['p_corrected'])})"
        for item in results.comparisons
        if item["measure"] == measure and item["p_corrected"] >= SIGNIFICANT
    ]
    told = []
    if alike:
        more = f" and {counted(len(alike) - _MOST, 'other pair')}" if len(alike) > _MOST else ""
        told.append(f"Not told apart: {', '.join(islice(alike, _MOST))}{more}.")
    elif len(found.runs) > 1:
        told.append("All pairs of systems differ by more than chance.")
    equal, queries = _equal(results, list(found.runs), measure)
    if equal and len(found.runs) > 1:
        told.append(f"On {equal} of {counted(queries, 'query', 'queries')} all systems have the same {measure}.")
    return told


def next_steps(found: Evaluation, results: Results, measure: str) -> list[str]:
    """What to do next, by how the best system stands to the first stage."""
    name = best_system(results, list(found.runs), measure)
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
    """On how many queries all systems have one value, and of how many."""
    equal = sum(len({round(row[name][measure], 6) for name in systems}) == 1 for row in results.per_query)
    return equal, len(results.per_query)
