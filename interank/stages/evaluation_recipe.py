"""A finished evaluation's recipe, for the stages that read evaluations."""

from __future__ import annotations

import json
from pathlib import Path

from interank.artifact import Artifact
from interank.evaluation.comparison import input_path
from interank.recipe import EvaluateRecipe, load_recipe


def evaluation_recipe(artifact: Artifact, benchmark: Path | None = None) -> EvaluateRecipe:
    """The evaluation's recipe without systems, and with the present paths of its inputs.

    Raises:
        InputError: An input no longer exists.
    """
    moved = []
    for key in ("benchmark", "run", "qrels", "first_stage_queries"):
        if key in artifact.manifest["inputs"]:
            path = benchmark if benchmark and key == "benchmark" else input_path(artifact, key)
            moved.append(f"{key}={json.dumps(str(path))}")
    settings = [*moved, "adapters=[]", "fits=[]", "runs=[]", "chain=[]", "explanations=null"]
    recipe = load_recipe(str(artifact.path / "recipe.json"), settings, stage="evaluate")
    if not isinstance(recipe, EvaluateRecipe):
        raise TypeError(f"{artifact.path} was made by another stage than evaluate")
    return recipe
