"""A recipe as the command line that runs it: a bundled recipe, and every setting in which the recipe differs."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from interank.recipe.evaluate import EvaluateRecipe
from interank.recipe.loading import load_recipe

_RECIPE = "evaluate/benchmark"


def evaluate_command(recipe: EvaluateRecipe, out: Path) -> str:
    """The command line of an evaluation, with every setting in which it differs from the bundled recipe."""
    bundled = load_recipe(_RECIPE).model_dump(mode="json")
    values = recipe.model_dump(mode="json")
    settings = [f"{key}={_yaml(value)}" for key, value in values.items() if value != bundled[key]]
    return shlex.join(["interank", "evaluate", _RECIPE, *settings, "--out", str(out)])


def _yaml(value: Any) -> str:
    """The value in the command line's syntax."""
    if isinstance(value, list):
        plain = all(isinstance(item, str) and not set(item) & set(",[]{}:#&*!|>'\"%@` ") for item in value)
        return ",".join(value) if plain and value else json.dumps(value, ensure_ascii=False)
    return "null" if value is None else str(value)
