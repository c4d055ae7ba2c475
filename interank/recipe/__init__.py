"""Recipes: one YAML file an experiment, checked whole before anything heavy is imported."""

from interank.recipe.batches import RL_BATCH
from interank.recipe.distill_heads import JUDGMENTS_AS_TEACHER, HeadRecipe, Objective
from interank.recipe.evaluate import EvaluateRecipe
from interank.recipe.lists import DistillListsRecipe, RlListsRecipe
from interank.recipe.loading import find_recipe, load_recipe, read_keys, recipe_files
from interank.recipe.models import (
    GET_BENCHMARKS,
    RECIPES,
    DistillRecipe,
    GenerateRecipe,
    Recipe,
    RlRecipe,
    RunRecipe,
    StagesRecipe,
    missing_inputs,
)

__all__ = [
    "GET_BENCHMARKS",
    "JUDGMENTS_AS_TEACHER",
    "RECIPES",
    "RL_BATCH",
    "DistillListsRecipe",
    "DistillRecipe",
    "EvaluateRecipe",
    "GenerateRecipe",
    "HeadRecipe",
    "Objective",
    "Recipe",
    "RlListsRecipe",
    "RlRecipe",
    "RunRecipe",
    "StagesRecipe",
    "find_recipe",
    "load_recipe",
    "missing_inputs",
    "read_keys",
    "recipe_files",
]
