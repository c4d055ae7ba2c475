"""Intervals of the calibration error and what abstaining saves: by hand, and against resampling done plainly."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy
import pytest

from interank.evaluation.candidates import Task
from interank.evaluation.trust import abstentions, calibrations
from interank.ir.calibration import calibration
from interank.ir.significance import Sample
from interank.types import Query, Run


def graded(seed: int, *, fitted: bool = True) -> list[list[tuple[dict[str, Any], bool]]]:
    """Forty queries of overconfident grades, some without documents."""
    rng = random.Random(seed)
    queries = []
    for number in range(40):
        documents = []
        for _ in range(number % 6):
            chance = rng.random() ** 3
            sure = chance**0.5
            row: dict[str, Any] = {"probabilities": [1 - sure, 0.0, sure]}
            documents.append((row | ({"probability": chance} if fitted else {}), rng.random() < chance))
        queries.append(documents)
    return queries


def test_the_intervals_are_those_of_resampled_queries() -> None:
    queries = graded(1)
    found = calibrations(queries, Sample([len(queries)], seed=5))
    rng = random.Random(2)
    errors: dict[str, list[float]] = {"calibration": [], "calibrated": [], "improvement": []}
    for _ in range(2000):
        drawn = [pair for query in rng.choices(queries, k=len(queries)) for pair in query]
        truth = [relevant for _, relevant in drawn]
        before = calibration([item["probabilities"][2] for item, _ in drawn], truth).expected_error
        after = calibration([item["probability"] for item, _ in drawn], truth).expected_error
        for name, value in zip(errors, (before, after, before - after), strict=True):
            errors[name].append(value)
    for name, values in errors.items():
        told = found["calibrated"]["improvement"] if name == "improvement" else found[name]
        assert [told["low"], told["high"]] == pytest.approx(numpy.quantile(values, [0.025, 0.975]), abs=0.012)
    assert found["calibrated"]["expected_error"] < found["calibration"]["expected_error"]
    assert found["calibrated"]["improvement"]["low"] > 0


def test_without_a_fit_there_is_one_error_and_without_grades_none() -> None:
    assert set(calibrations(graded(1, fitted=False), Sample([40], seed=5))) == {"calibration"}
    assert calibrations([[], []], Sample([2], seed=5)) == {}


def task(queries: int) -> Task:
    return Task("t", [Query(f"q{n}", "?") for n in range(queries)], [], Run({}, tag="none"), None, file=Path("x"))


def test_what_is_answered_is_told_apart_from_what_is_not() -> None:
    values = {("t", f"q{n}"): value for n, value in enumerate([1.0, 0.5, 0.0, 0.1])}
    rows = {("t", f"q{n}"): {"abstain": n > 1} for n in range(3)}
    found = abstentions([task(4)], rows, values, Sample([4], seed=1))["abstention"]
    assert found["queries"] == 4
    assert [found[key]["mean"] for key in ("coverage", "answered", "refused")] == pytest.approx([0.5, 0.75, 0.05])
    # Only resamples in which something is answered can tell what that is worth.
    assert 0.5 == found["answered"]["low"] < found["answered"]["high"] == 1.0


@pytest.mark.parametrize(("abstain", "missing"), [(False, "refused"), (True, "answered")])
def test_where_nothing_is_refused_or_answered_there_is_no_mean_of_it(abstain: bool, missing: str) -> None:
    values = {("t", f"q{n}"): 0.5 for n in range(3)}
    rows = {key: {"abstain": abstain} for key in values}
    found = abstentions([task(3)], rows, values, Sample([3], seed=1))["abstention"]
    assert [name for name, value in found.items() if value is None] == [missing]
    assert abstentions([task(3)], {}, values, Sample([3], seed=1)) == {}
