"""A recipe as the command line that runs it: a bundled recipe, and every setting that is not its own."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from interank.recipe.evaluate import EvaluateRecipe
from interank.recipe.loading import load_recipe

_RECIPE = "evaluate/benchmark"


def evaluate_command(recipe: EvaluateRecipe, out: Path) -> str:
    """The command line that evaluates so, every setting that is not the bundled recipe's written out."""
    usual = load_recipe(_RECIPE).model_dump(mode="json")
    given = recipe.model_dump(mode="json")
    settings = [f"{key}={_yaml(value)}" for key, value in given.items() if value != usual[key]]
    return shlex.join(["interank", "evaluate", _RECIPE, *settings, "--out", str(out)])


def _yaml(value: Any) -> str:
    """The value as the command line takes it."""
    if isinstance(value, list):
        plain = all(isinstance(item, str) and not set(item) & set(",[]{}:#&*!|>'\"%@` ") for item in value)
        return ",".join(value) if plain and value else json.dumps(value, ensure_ascii=False)
    return "null" if value is None else str(value)
