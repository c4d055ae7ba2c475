"""Each sign of collapse fires where it should, and only there."""

from __future__ import annotations

from typing import Any

import pytest

from interank.recipe import SeatbeltRecipe
from interank.training.seatbelt import sign_of_collapse

LIMITS = SeatbeltRecipe(patience=2)


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
