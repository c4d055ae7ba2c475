"""Each sign of collapse fires where it should, and only there."""

from __future__ import annotations

from typing import Any

import pytest

from interank.settings import CollapseDetectionRecipe
from interank.settings.policy import TrialRecipe
from interank.training.collapse import sign_of_collapse
from interank.training.validation import best_of

LIMITS = CollapseDetectionRecipe(patience=2)


def trials(**series: list[float]) -> list[dict[str, Any]]:
    """Trials of a healthy training, with some figures replaced."""
    number = len(next(iter(series.values())))
    healthy = {
        "nDCG@10": [0.5 + 0.02 * n for n in range(number)],
        "reward": [0.1 * n for n in range(number)],
        "entropy": [1.0 - 0.1 * n for n in range(number)],
        "explanation_words": [20.0] * number,
        "format_rate": [1.0] * number,
    }
    named = {"ndcg": "nDCG@10"}
    chosen = healthy | {named.get(name, name): values for name, values in series.items()}
    return [{name: values[n] for name, values in chosen.items()} for n in range(number)]


@pytest.mark.parametrize(
    ("figures", "sign"),
    [
        ({"ndcg": [0.5, 0.6, 0.52, 0.51], "reward": [0.0] * 4}, "validation down"),
        ({"entropy": [1.0, 0.5, 0.2, 0.01]}, "entropy gone"),
        ({"explanation_words": [20.0, 30, 50, 70]}, "length exploding"),
        ({"explanation_words": [20.0, 15, 10, 2]}, "length vanishing"),
        ({"format_rate": [1.0, 0.9, 0.8, 0.6]}, "format lost"),
        ({"ndcg": [0.55, 0.56, 0.54, 0.52]}, "reward up while validation falls"),
    ],
)
def test_a_sign_fires_at_the_last_trial_and_not_before(figures: dict[str, list[float]], sign: str) -> None:
    history = trials(**figures)
    assert (sign_of_collapse(history, LIMITS) or "").startswith(sign)
    assert sign_of_collapse(history[:-1], LIMITS) is None


def test_a_healthy_training_shows_none() -> None:
    history = trials(reward=[0.1 * n for n in range(8)])
    assert not [n for n in range(9) if sign_of_collapse(history[:n], LIMITS)]


def test_one_bad_trial_is_not_enough() -> None:
    assert sign_of_collapse(trials(ndcg=[0.5, 0.6, 0.4, 0.6], reward=[0.0] * 4)[:3], LIMITS) is None


def test_a_start_that_had_nothing_to_lose_loses_nothing() -> None:
    history = trials(entropy=[0.0] * 4, explanation_words=[0.0] * 4, format_rate=[0.1] * 4)
    assert sign_of_collapse(history, LIMITS) is None


# SmolLM2-135M on real posts (benchmarks/RESULTS.md): the ranking rose by chance while the grades polarised.
RECORDED = [
    {"step": 0, "nDCG@10": 0.703, "calibration_error": 0.047, "grade_entropy": 0.885},
    {"step": 6, "nDCG@10": 0.742, "calibration_error": 0.246, "grade_entropy": 0.598},
    {"step": 12, "nDCG@10": 0.795, "calibration_error": 0.225, "grade_entropy": 0.336},
    {"step": 18, "nDCG@10": 0.722, "calibration_error": 0.564, "grade_entropy": 0.261},
    {"step": 24, "nDCG@10": 0.684, "calibration_error": 0.352, "grade_entropy": 0.047},
    {"step": 30, "nDCG@10": 0.634, "calibration_error": 0.317, "grade_entropy": 0.027},
]


def first_sign(limits: CollapseDetectionRecipe) -> tuple[int, str]:
    for number in range(1, len(RECORDED) + 1):
        if sign := sign_of_collapse(RECORDED[:number], limits):
            return int(RECORDED[number - 1]["step"]), sign
    raise AssertionError("no sign fired")


def test_the_defaults_stop_the_recorded_run_at_its_third_trial() -> None:
    step, sign = first_sign(CollapseDetectionRecipe())
    assert (step, sign.partition(":")[0]) == (18, "calibration lost")
    step, sign = first_sign(CollapseDetectionRecipe(calibration_rise=1.0))
    assert (step, sign.partition(":")[0]) == (24, "grades polarised")


def test_a_run_that_stays_calibrated_and_undecided_goes_on() -> None:
    healthy = [{**row, "calibration_error": 0.15, "grade_entropy": 0.3} for row in RECORDED[:4]]
    assert sign_of_collapse([RECORDED[0], *healthy], CollapseDetectionRecipe()) is None
    # One trial above is not enough.
    assert sign_of_collapse([RECORDED[0], *healthy[:3], RECORDED[3]], CollapseDetectionRecipe()) is None


def test_the_adapter_that_is_kept_is_the_best_of_those_that_are_calibrated() -> None:
    margin = TrialRecipe().calibration_margin
    assert best_of(RECORDED, margin)["step"] == 0
    assert best_of(RECORDED, 0.18)["step"] == 12
    fair = {"step": 36, "nDCG@10": 0.71, "calibration_error": 0.147, "grade_entropy": 0.5}
    assert best_of([*RECORDED, fair], margin) == fair
    # Orders have no calibration.
    assert best_of([{"step": 0, "nDCG@10": 0.5}, {"step": 1, "nDCG@10": 0.5}], margin)["step"] == 1


def gold_history(*rows: tuple[float | None, float | None]) -> list[dict[str, float]]:
    """Trials with rewards and gold marks, each where there is one."""
    named = ({"reward": reward, "gold": gold} for reward, gold in rows)
    return [{"nDCG@10": 0.5, **{name: value for name, value in row.items() if value is not None}} for row in named]


def test_reward_up_and_gold_down_is_a_sign() -> None:
    limits = CollapseDetectionRecipe()
    hacked = gold_history((None, 0.7), (1.0, None), (1.5, 0.5), (1.8, None), (2.0, 0.4))
    sign = sign_of_collapse(hacked, limits)
    assert sign is not None
    assert "from 1.000 to 2.000" in sign
    assert "from 0.70 to 0.40" in sign
    # One check that is down may be chance; where the reward falls too, it is no hacking.
    assert sign_of_collapse(hacked[:3], limits) is None
    assert sign_of_collapse(gold_history((None, 0.7), (1.0, 0.7), (1.5, 0.5), (2.0, 0.65)), limits) is None
    assert sign_of_collapse(gold_history((None, 0.7), (2.0, None), (1.5, 0.5), (1.2, 0.4)), limits) is None
    assert sign_of_collapse(gold_history((None, 0.7), (1.0, 0.65), (1.5, 0.65), (2.0, 0.65)), limits) is None


def test_an_adapter_whose_gold_has_fallen_is_not_kept() -> None:
    rows = [(0, 0.5, 0.7), (2, 0.6, None), (4, 0.8, 0.5), (6, 0.9, None), (8, 0.55, 0.65)]
    trials = [{"step": step, "nDCG@10": ndcg, **({} if gold is None else {"gold": gold})} for step, ndcg, gold in rows]
    assert best_of(trials, 0.1, 0.1)["step"] == 2
    assert best_of(trials, 0.1)["step"] == 6
