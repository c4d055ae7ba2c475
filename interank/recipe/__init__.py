"""Recipes: one YAML file an experiment, checked whole before anything heavy is imported."""

from interank.recipe.adaptive import AdaptiveRecipe, Spending
from interank.recipe.batches import RL_BATCH
from interank.recipe.distill_heads import JUDGMENTS_AS_TEACHER, HeadRecipe, Objective
from interank.recipe.evaluation import EvaluateRecipe
from interank.recipe.heads import HeadSettings
from interank.recipe.links import LinkRecipe, RankingMode
from interank.recipe.lists import DistillListsRecipe, OrderingsRecipe, RlListsRecipe
from interank.recipe.listwise import ListPromptSettings, ListwiseRecipe, WindowMethod
from interank.recipe.loading import find_recipe, load_recipe, read_keys, recipe_files
from interank.recipe.mining import ColumnsRecipe, DocumentsRecipe, MiningRecipe
from interank.recipe.models import (
    GET_BENCHMARKS,
    RECIPES,
    DistillRecipe,
    GenerateRecipe,
    PromptSettings,
    Quantisation,
    Recipe,
    RewardRecipe,
    RlRecipe,
    RunRecipe,
    StagesRecipe,
    missing_inputs,
)
from interank.recipe.policy import GradeRecipe, HardExamplesRecipe, RewardWeightedRecipe, SeatbeltRecipe, TrialRecipe
from interank.recipe.rollouts import RolloutServersRecipe, RolloutsRecipe, RolloutVllmRecipe
from interank.recipe.servers import ServersRecipe
from interank.recipe.student import LoraRecipe
from interank.recipe.teacher import MAX_QUERIES, BudgetRecipe, RateRecipe, ServerRecipe, TeacherRecipe, VllmRecipe

__all__ = [
    "GET_BENCHMARKS",
    "JUDGMENTS_AS_TEACHER",
    "MAX_QUERIES",
    "RECIPES",
    "RL_BATCH",
    "AdaptiveRecipe",
    "BudgetRecipe",
    "ColumnsRecipe",
    "DistillListsRecipe",
    "DistillRecipe",
    "DocumentsRecipe",
    "EvaluateRecipe",
    "GenerateRecipe",
    "GradeRecipe",
    "HardExamplesRecipe",
    "HeadRecipe",
    "HeadSettings",
    "LinkRecipe",
    "ListPromptSettings",
    "ListwiseRecipe",
    "LoraRecipe",
    "MiningRecipe",
    "Objective",
    "OrderingsRecipe",
    "PromptSettings",
    "Quantisation",
    "RankingMode",
    "RateRecipe",
    "Recipe",
    "RewardRecipe",
    "RewardWeightedRecipe",
    "RlListsRecipe",
    "RlRecipe",
    "RolloutServersRecipe",
    "RolloutVllmRecipe",
    "RolloutsRecipe",
    "RunRecipe",
    "SeatbeltRecipe",
    "ServerRecipe",
    "ServersRecipe",
    "Spending",
    "StagesRecipe",
    "TeacherRecipe",
    "TrialRecipe",
    "VllmRecipe",
    "WindowMethod",
    "find_recipe",
    "load_recipe",
    "missing_inputs",
    "read_keys",
    "recipe_files",
]
