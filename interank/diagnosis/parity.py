"""The parity of two variants of a model: how far scores, ranks and grades differ, and how far they may."""

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
"""How two variants differ: in the order of float32 sums, in weights rounded to bfloat16, in computing in bfloat16."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two variants may differ."""

    score: float
    """The largest difference of a score."""
    tau: float
    """The least Kendall tau between rankings, the mean over the queries."""
    grades: float
    """The largest share of pairs whose grade differs."""


# By the certificate of a SmolLM2-135M adapter (docs/parity.md), with a margin for other models: its largest differences
# were 0.0001, 0.11 and 0.39. In bfloat16 a sound model is nearly as far from the reference as one that gets its
# first token twice, so only the exact tolerance shows faults reliably.
TOLERANCES: Mapping[Kind, Tolerance] = {
    "exact": Tolerance(0.01, 0.98, 0.02),
    "rounded": Tolerance(0.2, 0.95, 0.05),
    "bfloat16": Tolerance(0.5, 0.8, 0.2),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one variant differs from another, over all pairs."""

    pairs: int
    largest: float
    """The largest difference of a score; infinite where a score is no finite number."""
    mean: float
    tau: float
    """Kendall's tau-b between a query's two rankings, the mean over the queries."""
    moved: int
    """The number of documents whose rank differs."""
    grades: int
    """The number of pairs whose grade differs."""
    prompts: int
    """The number of pairs whose prompts' token ids differ."""

    def faults(self, allowed: Tolerance) -> list[str]:
        """The differences beyond the tolerance, each in a few words."""
        share = self.grades / self.pairs
        return [
            *([f"{self.prompts} of {self.pairs} prompts differ"] if self.prompts else []),
            *([f"a score differs by {self.largest:.3g}"] if not self.largest <= allowed.score else []),
            *([f"Kendall's tau is {self.tau:.3f}"] if not self.tau >= allowed.tau else []),
            *([f"{self.grades} of {self.pairs} grades differ"] if not share <= allowed.grades else []),
        ]


def difference(reference: Sequence[Reading], other: Sequence[Reading]) -> Difference:
    """The difference of the other's readings from the reference's, which have to be of the same pairs in one order.

    Raises:
        InputError: The readings are not of the same pairs.
    """
    if not reference or [item.query_id for item in reference] != [item.query_id for item in other]:
        raise InputError(
            f"{counted(len(reference), 'pair')} of the reference cannot be compared with {len(other)} other ones; read "
            "both anew on the same golden set"
        )
    couples = list(zip(reference, other, strict=True))
    apart = [abs(one.score - two.score) for one, two in couples]
    # Comparisons with NaN are false, so whether max() returns it depends on its position.
    finite = all(map(math.isfinite, apart))
    taus, moved = _ranks(couples) if finite else ([0.0], len(couples))
    return Difference(
        len(couples),
        max(apart) if finite else math.inf,
        fmean(apart) if finite else math.inf,
        fmean(taus) if taus else 1.0,
        moved,
        sum(one.relevance != two.relevance for one, two in couples if one.own_score is None and two.own_score is None),
        sum(one.ids != two.ids for one, two in couples),
    )


def _ranks(couples: Sequence[tuple[Reading, Reading]]) -> tuple[list[float], int]:
    """Each query's Kendall tau (none for a query of one document), and the number of documents whose rank differs."""
    taus, moved = [], 0
    for scores in grouped(couples, lambda couple: couple[0].query_id).values():
        first, second = ([pair[side].score for pair in scores] for side in (0, 1))
        moved += sum(a != b for a, b in zip(_order(first), _order(second), strict=True))
        if len(scores) > 1:
            tau = float(kendalltau(first, second).statistic)
            # Undefined where one side is all ties; then 1 if both sides are equal, else 0.
            taus.append(tau if math.isfinite(tau) else float(first == second))
    return taus, moved


def _order(scores: Sequence[float]) -> list[int]:
    """The indices by falling score; ties keep the order given."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])
