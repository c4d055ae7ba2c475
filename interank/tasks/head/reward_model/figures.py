"""How well scores order explanations of held-out questions, with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy
from scipy.stats import rankdata

from interank.explanations import FAULTS, HONEST, ExplanationRow
from interank.ir.calibration import by_bin, calibration, expected_errors
from interank.ir.significance import Sample, Values
from interank.tasks.head.reward_model.comparisons import Comparison, by_document, comparisons
from interank.types import grouped

_LENGTHS_ALIKE = 0.1
"""Two explanations are of one length where the longer one is longer by at most this share."""
_SAME_MARK = 0.05
_FEW = 2

Score = Callable[[ExplanationRow], float]


class HeldOutScores:
    """Held-out explanations, and figures of the scores that systems give them."""

    def __init__(self, rows: Sequence[ExplanationRow], *, least: float, longer: bool, seed: int) -> None:
        """Take the explanations.

        Args:
            rows: The explanations of held-out questions.
            least: The least difference of two marks that are compared.
            longer: True where in training the longer of two explanations mostly had the better mark.
            seed: Decides the resamples.
        """
        self.rows = rows
        self.compared = list(comparisons(rows, least=least))
        self.longer = longer
        self.seed = seed

    def report(self, systems: Mapping[str, Mapping[str, float]], left_out: Collection[str]) -> dict[str, Any]:
        """All figures; `systems` are scores by name and by `key_of` an explanation, the model's own `trained`."""
        scores: dict[str, Score] = {name: _looked_up(values) for name, values in systems.items()}
        sign = 1 if self.longer else -1
        scores["length alone"] = lambda row: sign * len(row.explanation)
        own = scores["trained"]
        alike = [pair for pair in self.compared if _alike(pair)]
        return {
            "explanations": len(self.rows),
            "pairs": len(self.compared),
            "questions": len({row.query_id for row in self.rows}),
            "accuracy": {name: self.accuracy(self.compared, score) for name, score in scores.items()},
            "length_matched": {name: self.accuracy(alike, score) for name, score in scores.items()},
            "by_kind": self._by_kind(scores, left_out),
            "calibration": self._calibration(own),
            "length_correlation": {
                "trained": self._with_length(own),
                "marks": self._with_length(lambda row: float(row.mark or 0.0)),
            },
            "style": self._style(own),
        }

    def accuracy(self, pairs: Iterable[Comparison], score: Score) -> dict[str, Any] | None:
        """The share of pairs whose better one has the higher score, half for equal scores; None without pairs."""
        wins = [(pair.better.query_id, _won(score(pair.better), score(pair.worse))) for pair in pairs]
        return self._share(wins)

    def _share(self, values: Sequence[tuple[str, float]]) -> dict[str, Any] | None:
        if not values:
            return None
        questions = list(grouped(values, lambda each: each[0]).values())
        sums = numpy.array([[sum(value for _, value in own), len(own)] for own in questions], dtype=float)
        ((low, high),) = Sample([len(sums)], seed=self.seed).bounds(sums, _ratio)
        share: dict[str, Any] = {"mean": float(sums[:, 0].sum() / sums[:, 1].sum()), "low": low, "high": high}
        if len(questions) < _FEW:
            # One question alone cannot be resampled.
            share |= {"low": None, "high": None}
        return {**share, "pairs": len(values), "questions": len(questions)}

    def _by_kind(self, scores: Mapping[str, Score], left_out: Collection[str]) -> dict[str, Any]:
        """Each kind of fault against honest explanations of the same document."""
        kinds: dict[str, Any] = {}
        for kind in FAULTS:
            pairs = [pair for pair in self.compared if pair.better.kind == HONEST and pair.worse.kind == kind]
            if pairs:
                shares = {name: self.accuracy(pairs, score) for name, score in scores.items()}
                kinds[kind] = {"left_out": kind in left_out, **shares}
        return kinds

    def _calibration(self, score: Score) -> dict[str, Any] | None:
        """Calibration of the probability that the better-scored of two is better, the sigmoid of their difference.

        `low` and `high` are the ends of the expected error's interval.
        """
        if not self.compared:
            return None
        questions = [
            [_claimed(score(pair.better) - score(pair.worse)) for pair in pairs]
            for pairs in grouped(self.compared, lambda pair: pair.better.query_id).values()
        ]
        calibrated = calibration(*zip(*(claim for claims in questions for claim in claims), strict=True))
        ends: tuple[float | None, float | None] = (None, None)
        if len(questions) >= _FEW:
            (ends,) = Sample([len(questions)], seed=self.seed).bounds(by_bin(questions), expected_errors)
        return {
            "expected_error": calibrated.expected_error,
            "low": ends[0],
            "high": ends[1],
            "confidence": fmean(probability for claims in questions for probability, _ in claims),
            "accuracy": calibrated.base_rate,
        }

    def _with_length(self, score: Score) -> dict[str, Any] | None:
        """Spearman's rho of scores and lengths among a document's explanations, a mean over documents."""
        values = []
        for items in by_document(self.rows):
            value = _spearman([score(row) for row in items], [len(row.explanation) for row in items])
            if value is not None:
                values.append((items[0].query_id, value))
        return self._share(values)

    def _style(self, score: Score) -> dict[str, Any]:
        """How often a teacher's explanation scores above a student's of the same document, in all and with equal marks.

        With equal marks, half is neutral; more means that the scores prefer the teacher's style.
        """
        every, equal = [], []
        for items in by_document(self.rows):
            honest = [row for row in items if row.kind == HONEST and row.mark is not None]
            for teacher in (row for row in honest if row.writer == "teacher"):
                for student in (row for row in honest if row.writer == "student"):
                    won = (teacher.query_id, _won(score(teacher), score(student)))
                    every.append(won)
                    if abs(float(teacher.mark or 0) - float(student.mark or 0)) <= _SAME_MARK:
                        equal.append(won)
        return {"teacher_above_student": self._share(every), "of_equal_marks": self._share(equal)}


def key_of(row: ExplanationRow) -> str:
    """The key of an explanation's score."""
    return "\0".join((row.query_id, row.doc_id, row.explanation))


def longer_is_better(pairs: Iterable[Comparison]) -> bool:
    """True where the better of two explanations is mostly the longer one."""
    differences = [len(pair.better.explanation) - len(pair.worse.explanation) for pair in pairs]
    return sum(difference > 0 for difference in differences) >= sum(difference < 0 for difference in differences)


def _looked_up(values: Mapping[str, float]) -> Score:
    return lambda row: values[key_of(row)]


def _won(better: float, worse: float) -> float:
    return 0.5 if better == worse else float(better > worse)


def _alike(pair: Comparison) -> bool:
    one, other = sorted((len(pair.better.explanation), len(pair.worse.explanation)))
    return other <= one * (1 + _LENGTHS_ALIKE)


def _ratio(sums: Values) -> Values:
    with numpy.errstate(invalid="ignore"):
        return sums[:, :1] / sums[:, 1:]


def _claimed(difference: float) -> tuple[float, bool]:
    """The probability that the higher score of two is the better's, and whether it is, by the better's lead."""
    return _sigmoid(abs(difference)), difference > 0


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's rho; None where either side has no two different values."""
    if len({*one}) < _FEW or len({*other}) < _FEW:
        return None
    return float(numpy.corrcoef(rankdata(one), rankdata(other))[0, 1])
