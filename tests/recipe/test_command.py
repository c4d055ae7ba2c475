"""The command line that a report shows makes the same evaluation."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from interank.recipe import EvaluateRecipe, evaluate_command, load_recipe


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"depth": 7, "explain": 0, "queries": 5, "price_per_hour": 1.5, "relevant_from": 2, "mode": "reason"},
        {"measures": ("nDCG@10", "AP(rel=2)", "R(rel=2)@100"), "tasks": ("a task", "b,c"), "texts": False},
        {"runs": (Path("a run's.trec"), Path("b.trec")), "adapters": (Path("x"), Path("y")), "first_stage": "bm25q"},
    ],
    ids=["usual", "numbers", "lists", "paths"],
)
def test_it_resolves_to_the_same_recipe(settings: dict[str, object]) -> None:
    recipe = EvaluateRecipe(stage="evaluate", benchmark=Path("some where"), **settings)  # type: ignore[arg-type]
    interank, evaluate, name, *overrides = shlex.split(evaluate_command(recipe, Path("out")))
    assert (interank, evaluate, overrides[-2:]) == ("interank", "evaluate", ["--out", "out"])
    assert load_recipe(name, overrides[:-2], stage="evaluate") == recipe
