"""Whether two variants of a model are the same: how far scores, ranks and grades lie apart, and may."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from scipy.stats import kendalltau

from interank.diagnosis.golden import Reading
from interank.errors import InputError
from interank.types import grouped
from interank.wording import counted

Kind = Literal["exact", "rounded", "bfloat16"]
"""How two variants differ: in the order in which float32 adds, in weights rounded to bfloat16, in computing in it."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two variants may lie apart."""

    score: float
    """The largest difference of a score."""
    tau: float
    """The least Kendall tau between rankings, the mean over the queries."""
    grades: float
    """The largest share of pairs whose grade differs."""


# By the certificate of a SmolLM2-135M adapter (docs/parity.md), with room for others: the largest seen were 0.0001,
# 0.11 and 0.39. In bfloat16 a model lies nearly as far from itself as one whose first token stands twice, so only the
# exact tolerance tells faults for certain.
TOLERANCES: Mapping[Kind, Tolerance] = {
    "exact": Tolerance(0.01, 0.98, 0.02),
    "rounded": Tolerance(0.2, 0.95, 0.05),
    "bfloat16": Tolerance(0.5, 0.8, 0.2),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one variant lies from another, over all pairs."""

    pairs: int
    largest: float
    """The largest difference of a score; infinite where one is no number."""
    mean: float
    tau: float
    """Kendall's tau-b between a query's two rankings, the mean over the queries."""
    moved: int
    """Documents whose rank differs."""
    grades: int
    """Pairs whose grade differs."""
    prompts: int
    """Pairs whose prompts differ in their token ids."""

    def faults(self, allowed: Tolerance) -> list[str]:
        """What lies beyond the tolerance, each in a few words; empty if nothing does."""
        share = self.grades / self.pairs
        return [
            *([f"{self.prompts} of {self.pairs} prompts differ"] if self.prompts else []),
            *([f"a score differs by {self.largest:.3g}"] if not self.largest <= allowed.score else []),
            *([f"Kendall's tau is {self.tau:.3f}"] if not self.tau >= allowed.tau else []),
            *([f"{self.grades} of {self.pairs} grades differ"] if not share <= allowed.grades else []),
        ]


def difference(reference: Sequence[Reading], other: Sequence[Reading]) -> Difference:
    """How far the other lies from the reference, pair by pair in the same order.

    Raises:
        InputError: They are not of the same pairs.
    """
    if not reference or [item.query_id for item in reference] != [item.query_id for item in other]:
        raise InputError(
            f"{counted(len(reference), 'pair')} cannot be compared with {len(other)}; read both anew, of the same "
            "golden set"
        )
    couples = list(zip(reference, other, strict=True))
    apart = [abs(one.score - two.score) for one, two in couples]
    # A comparison with NaN is never true, and whether max() passes it over depends on where it stands.
    finite = all(map(math.isfinite, apart))
    taus, moved = _ranks(couples) if finite else ([0.0], len(couples))
    return Difference(
        len(couples),
        max(apart) if finite else math.inf,
        fmean(apart) if finite else math.inf,
        fmean(taus) if taus else 1.0,
        moved,
        sum(one.relevance != two.relevance for one, two in couples if one.told is None and two.told is None),
        sum(one.ids != two.ids for one, two in couples),
    )


def _ranks(couples: Sequence[tuple[Reading, Reading]]) -> tuple[list[float], int]:
    """Each query's Kendall tau, and how many documents have another rank; a query of one document has none."""
    taus, moved = [], 0
    for scores in grouped(couples, lambda couple: couple[0].query_id).values():
        first, second = ([pair[side].score for pair in scores] for side in (0, 1))
        moved += sum(a != b for a, b in zip(_order(first), _order(second), strict=True))
        if len(scores) > 1:
            tau = float(kendalltau(first, second).statistic)
            # Undefined where one side is all ties: no ranking is there to agree with, unless both are the same.
            taus.append(tau if math.isfinite(tau) else float(first == second))
    return taus, moved


def _order(scores: Sequence[float]) -> list[int]:
    """Places best first; ties keep the order given."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])
