"""How well scores tell explanations apart on questions that were not trained on, with what chance could have done."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy
from scipy.stats import rankdata

from interank.explanations import FAULTS, HONEST, Explained
from interank.ir.calibration import calibration
from interank.ir.significance import Sample, Values
from interank.tasks.head.reward_model.comparisons import Comparison, by_document, comparisons
from interank.types import grouped

_LENGTHS_ALIKE = 0.1
"""Two explanations are of one length where the longer is at most so much longer."""
_SAME_MARK = 0.05
_FEW = 2

Score = Callable[[Explained], float]


class Told:
    """Held-out explanations, and how systems' scores order them."""

    def __init__(self, rows: Sequence[Explained], *, least: float, longer: bool, seed: int) -> None:
        """Take the explanations.

        Args:
            rows: Those that count, of held-out questions.
            least: Marks that are closer are not compared.
            longer: Whether the longer of two explanations mostly had the better mark in training.
            seed: Decides the resamples.
        """
        self.rows = rows
        self.compared = list(comparisons(rows, least=least))
        self.longer = longer
        self.seed = seed

    def report(self, systems: Mapping[str, Mapping[str, float]], left_out: Collection[str]) -> dict[str, Any]:
        """All figures; `systems` are scores by name and by `key_of` an explanation, the model's own `trained`."""
        scores: dict[str, Score] = {name: _looked_up(found) for name, found in systems.items()}
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
            "calibration": _calibrated(self.compared, own),
            "length_correlation": {
                "trained": self._with_length(own),
                "marks": self._with_length(lambda row: float(row.mark or 0.0)),
            },
            "style": self._style(own),
        }

    def accuracy(self, pairs: Iterable[Comparison], score: Score) -> dict[str, Any] | None:
        """The share of pairs whose better one has the higher score, half for equal scores; None of none."""
        found = [(pair.better.query_id, _won(score(pair.better), score(pair.worse))) for pair in pairs]
        return self._share(found)

    def _share(self, found: Sequence[tuple[str, float]]) -> dict[str, Any] | None:
        if not found:
            return None
        questions = list(grouped(found, lambda each: each[0]).values())
        sums = numpy.array([[sum(value for _, value in own), len(own)] for own in questions], dtype=float)
        ((low, high),) = Sample([len(sums)], seed=self.seed).bounds(sums, _ratio)
        told: dict[str, Any] = {"mean": float(sums[:, 0].sum() / sums[:, 1].sum()), "low": low, "high": high}
        if len(questions) < _FEW:
            # Of one question there is nothing to resample.
            told |= {"low": None, "high": None}
        return {**told, "pairs": len(found), "questions": len(questions)}

    def _by_kind(self, scores: Mapping[str, Score], left_out: Collection[str]) -> dict[str, Any]:
        """Each kind of fault against honest explanations of the same document."""
        found: dict[str, Any] = {}
        for kind in FAULTS:
            pairs = [pair for pair in self.compared if pair.better.kind == HONEST and pair.worse.kind == kind]
            if pairs:
                told = {name: self.accuracy(pairs, score) for name, score in scores.items()}
                found[kind] = {"left_out": kind in left_out, **told}
        return found

    def _with_length(self, score: Score) -> dict[str, Any] | None:
        """Spearman's rho of scores and lengths among a document's explanations, a mean over documents."""
        found = []
        for items in by_document(self.rows):
            value = _spearman([score(row) for row in items], [len(row.explanation) for row in items])
            if value is not None:
                found.append((items[0].query_id, value))
        return self._share(found)

    def _style(self, score: Score) -> dict[str, Any]:
        """How often a teacher's explanation scores above a student's of the same document; of equal marks too.

        Half of equal ones tells no style; more is a liking for who wrote, and not for what was said.
        """
        found, equal = [], []
        for items in by_document(self.rows):
            honest = [row for row in items if row.kind == HONEST and row.mark is not None]
            for teacher in (row for row in honest if row.writer == "teacher"):
                for student in (row for row in honest if row.writer == "student"):
                    won = (teacher.query_id, _won(score(teacher), score(student)))
                    found.append(won)
                    if abs(float(teacher.mark or 0) - float(student.mark or 0)) <= _SAME_MARK:
                        equal.append(won)
        return {"teacher_above_student": self._share(found), "of_equal_marks": self._share(equal)}


def key_of(row: Explained) -> str:
    """By what an explanation's score is found."""
    return "\0".join((row.query_id, row.doc_id, row.explanation))


def longer_is_better(pairs: Iterable[Comparison]) -> bool:
    """Whether the better of two is mostly the longer one."""
    differences = [len(pair.better.explanation) - len(pair.worse.explanation) for pair in pairs]
    return sum(difference > 0 for difference in differences) >= sum(difference < 0 for difference in differences)


def _looked_up(found: Mapping[str, float]) -> Score:
    return lambda row: found[key_of(row)]


def _won(better: float, worse: float) -> float:
    return 0.5 if better == worse else float(better > worse)


def _alike(pair: Comparison) -> bool:
    one, other = sorted((len(pair.better.explanation), len(pair.worse.explanation)))
    return other <= one * (1 + _LENGTHS_ALIKE)


def _ratio(sums: Values) -> Values:
    with numpy.errstate(invalid="ignore"):
        return sums[:, :1] / sums[:, 1:]


def _calibrated(pairs: Sequence[Comparison], score: Score) -> dict[str, Any] | None:
    """Of two explanations the sigmoid of their scores' difference is the probability that the first is better."""
    if not pairs:
        return None
    differences = [score(pair.better) - score(pair.worse) for pair in pairs]
    found = calibration([_sigmoid(abs(each)) for each in differences], [each > 0 for each in differences])
    return {
        "expected_error": found.expected_error,
        "confidence": fmean(_sigmoid(abs(each)) for each in differences),
        "accuracy": found.base_rate,
    }


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """None where either has no two values."""
    if len({*one}) < _FEW or len({*other}) < _FEW:
        return None
    return float(numpy.corrcoef(rankdata(one), rankdata(other))[0, 1])
