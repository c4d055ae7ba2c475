"""Explanations are marked document by document, and their means go where readers of an evaluation look."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pytest

from interank.evaluation.explanation_marks import MARKS, mark, marks_of
from interank.evaluation.page import Provenance
from interank.evaluation.page.rankings import _judgments
from interank.evaluation.rankings import Scoring, ran_on
from interank.evaluation.record import record
from interank.recipe import EvaluateRecipe, evaluate_command
from interank.rewards import WeightedReward
from tests.support.recorded_evaluation import benchmark, evaluation


def first_of_three(*, completions: Sequence[str], query_id: Sequence[str], **_: object) -> list[float | None]:
    """Half of each query's number; nothing for the third of a query."""
    return [
        None if query_id[:place].count(name) == 2 else int(name.rpartition("q")[2]) / 2
        for place, name in enumerate(query_id)
    ]


def test_marks_are_told_with_an_interval_over_queries_and_by_document(tmp_path: Path) -> None:
    benchmark(tmp_path / "benchmark", "one", queries=4)
    recipe = EvaluateRecipe(stage="evaluate", benchmark=tmp_path / "benchmark" / "one", measures=("nDCG@10",), depth=15)
    found = evaluation(recipe, ["ours", "theirs"])
    mark(found.tasks, found.rankings["ours"], [WeightedReward(first_of_three)], "grade_first")
    (figure,) = marks_of(found.tasks, found.rankings["ours"], seed=1).values()
    assert figure["mean"] == pytest.approx(fmean([0.0, 0.5, 1.0, 1.5]))
    assert figure["count"] == 8
    assert 0.0 <= figure["low"] < figure["mean"] < figure["high"] <= 1.5
    assert marks_of(found.tasks, found.rankings["theirs"], seed=1) == {}
    out = tmp_path / "out"
    out.mkdir()
    record(out, Scoring.of(recipe), found, Provenance(evaluate_command(recipe, out), {}, ran_on(found.rankings)))
    told = json.loads((out / "metrics.json").read_text())["ours"]["explanations"]["marks"]["first_of_three"]
    assert told == pytest.approx(figure)
    assert f"{figure['mean']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})" in (out / "report.md").read_text()
    row = next(row for row in found.rankings["ours"].values() if row["query_id"] == "q3")
    why = _judgments(row, {item["doc_id"]: place for place, item in enumerate(row["ranking"])})["why"]
    assert [text.endswith("(first_of_three +1.50)") for text in why.values()] == [True, True, False]
    assert why[2].endswith("(first_of_three not marked)")
    assert len(row[MARKS]) == 3


def test_of_rewards_of_one_name_each_has_its_own_marks(tmp_path: Path) -> None:
    """As of two reward models, of a round and of the next."""
    benchmark(tmp_path / "benchmark", "one", queries=3)
    recipe = EvaluateRecipe(stage="evaluate", benchmark=tmp_path / "benchmark" / "one", measures=("nDCG@10",), depth=15)
    found = evaluation(recipe, ["ours"])

    def halved(**columns: list[str]) -> list[float | None]:
        return [value and value / 2 for value in first_of_three(**columns)]

    halved.__name__ = first_of_three.__name__
    mark(found.tasks, found.rankings["ours"], [WeightedReward(first_of_three), WeightedReward(halved)], "grade_first")
    figures = marks_of(found.tasks, found.rankings["ours"], seed=1)
    assert list(figures) == ["first_of_three", "first_of_three 2"]
    assert figures["first_of_three 2"]["mean"] == pytest.approx(figures["first_of_three"]["mean"] / 2)
