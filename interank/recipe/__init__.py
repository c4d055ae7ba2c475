"""Recipes: one YAML file for each experiment, checked completely before anything heavy is imported."""

from interank.recipe.command import evaluate_command
from interank.recipe.evaluate import EvaluateRecipe
from interank.recipe.generate import GET_BENCHMARKS, GenerateRecipe
from interank.recipe.loading import Recipe, find_recipe, load_recipe, model_of, read_keys, recipe_files
from interank.recipe.run import RunRecipe, StagesRecipe
from interank.recipe.summaries import Summary, summary
from interank.tasks.head.reward_model.recipe import RewardModelRecipe

__all__ = [
    "GET_BENCHMARKS",
    "EvaluateRecipe",
    "GenerateRecipe",
    "Recipe",
    "RewardModelRecipe",
    "RunRecipe",
    "StagesRecipe",
    "Summary",
    "evaluate_command",
    "find_recipe",
    "load_recipe",
    "model_of",
    "read_keys",
    "recipe_files",
    "summary",
]
