"""A training's curves are the figures of its log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interank.errors import InputError
from interank.plots import read_log, training_curves

LOG = [
    {"step": 1, "loss": 2.0, "reward": 0.1, "rewards/ranking/mean": 0.2, "rewards/ranking/std": 0.5, "epoch": 0.1},
    {"step": 2, "loss": 1.0, "reward": 0.3, "rewards/ranking/mean": 0.4, "rewards/ranking/std": 0.5, "epoch": 0.2},
    {"step": 2, "eval_loss": 0.9, "eval_runtime": 3.0},
    {"step": 3, "loss": float("nan"), "reward": 0.5, "rewards/ranking/mean": 0.4},
    {"step": 4, "eval_loss": 0.8, "train_runtime": 9.0},
]


def test_each_kind_of_figure_has_a_plot_with_its_data() -> None:
    plots = {plot.name: plot for plot in training_curves(LOG)}
    assert list(plots) == ["training-reward", "training-validation", "training-loss"]
    reward = plots["training-reward"]
    assert reward.data == [["step", "reward", "rewards/ranking/mean"], [1, 0.1, 0.2], [2, 0.3, 0.4], [3, 0.5, 0.4]]
    assert reward.legend == [(0, "reward"), (1, "rewards/ranking/mean")]
    assert "var(--series-1)" in reward.svg
    assert plots["training-validation"].data == [["step", "eval_loss"], [2, 0.9], [4, 0.8]]
    # What is no number is no point.
    assert plots["training-loss"].data == [["step", "loss"], [1, 2.0], [2, 1.0]]
    assert all(plot.caption for plot in plots.values())


def test_a_step_that_was_done_again_counts_once() -> None:
    again = [*LOG[:2], {"step": 2, "loss": 0.5}, {"step": 3, "loss": 0.25}]
    [loss] = [plot for plot in training_curves(again) if plot.name == "training-loss"]
    assert loss.data[1:] == [[1, 2.0], [2, 0.5], [3, 0.25]]


def test_one_step_is_no_curve() -> None:
    assert training_curves(LOG[:1]) == []


def test_a_log_is_read_line_by_line_and_its_faults_are_placed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in LOG[:2]))
    assert read_log(path) == LOG[:2]
    path.write_text('{"step": 1}\n[2]\n')
    with pytest.raises(InputError, match=r"log\.jsonl:2"):
        read_log(path)


def test_lines_stand_in_one_order_however_they_were_logged() -> None:
    figures = {"eval_nDCG@10": 0.5, "eval_grade_accuracy": 0.6}
    log = [{"step": step, **figures} for step in (1, 2)]
    turned = [{"step": step, **dict(reversed(figures.items()))} for step in (1, 2)]
    assert [plot.svg for plot in training_curves(turned)] == [plot.svg for plot in training_curves(log)]
